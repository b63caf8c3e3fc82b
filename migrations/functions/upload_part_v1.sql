-- One part of a gradient on its way up; answers with the bytes received so far.
CREATE FUNCTION volunteer.upload_part_v1(p_worker bigint, p_unit bigint, p_attempt integer, p_token uuid,
                                         p_part integer, p_content bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_caller record;
    v_unit record;
    v_stored record;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    SELECT * INTO v_unit FROM ledger.hold_unit_v1(v_caller.run_id, p_worker, p_unit, p_attempt, p_token);
    SELECT * INTO v_stored
      FROM ledger.store_part_v1(v_caller.run_id, p_worker, p_unit, p_attempt, v_unit.base_version, p_part, p_content,
                                v_caller.max_part_bytes, v_caller.max_gradient_bytes);
    RETURN v_stored.num_bytes;
END
$$;
REVOKE ALL ON FUNCTION volunteer.upload_part_v1(bigint, bigint, integer, uuid, integer, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.upload_part_v1(bigint, bigint, integer, uuid, integer, bytea) TO barnraise_volunteers;
