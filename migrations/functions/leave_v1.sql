-- The worker goes. Units it still holds return at once, but for one that another transaction is about to end itself.
CREATE FUNCTION volunteer.leave_v1(p_worker bigint, p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_caller record;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    PERFORM ledger.require_text_v1('reason', p_reason, 1000);
    UPDATE ledger.work_units u
       SET state = 'open', state_reason = 'its worker left', lease_token = NULL, lease_expires_at = NULL
      FROM (SELECT held.id FROM ledger.work_units held
             WHERE held.run_id = v_caller.run_id AND held.worker_id = p_worker AND held.state = 'leased'
               FOR UPDATE SKIP LOCKED) held
     WHERE u.id = held.id;
    UPDATE ledger.workers w SET left_at = now(), left_reason = p_reason WHERE w.id = p_worker;
    INSERT INTO ledger.events (run_id, subject, subject_id, old_state, new_state, worker_id, reason)
    VALUES (v_caller.run_id, 'worker', p_worker, 'joined', 'left', p_worker, p_reason);
END
$$;
REVOKE ALL ON FUNCTION volunteer.leave_v1(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.leave_v1(bigint, text) TO barnraise_volunteers;
