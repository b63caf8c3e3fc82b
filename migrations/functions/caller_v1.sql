-- The volunteer behind this session. session_user, because SET ROLE does not change it.
CREATE FUNCTION ledger.caller_v1() RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_volunteer ledger.volunteers;
BEGIN
    SELECT * INTO v_volunteer FROM ledger.volunteers WHERE role_name = session_user::text;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'BR004', MESSAGE = format('%s is not invited to this ledger', session_user);
    END IF;
    IF v_volunteer.revoked_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'BR004', MESSAGE = format('the invitation of %s was revoked', v_volunteer.name);
    END IF;
    RETURN v_volunteer.id;
END
$$;
REVOKE ALL ON FUNCTION ledger.caller_v1() FROM PUBLIC;
