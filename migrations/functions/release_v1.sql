-- The worker gives a unit back, with its reason. A failure counts against the unit;
-- the tenth in a row sends the worker away, so that one broken computer does not fail every unit of the run.
CREATE FUNCTION volunteer.release_v1(p_worker bigint, p_unit bigint, p_attempt integer, p_token uuid,
                                     p_reason text, p_failed boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_caller record;
    v_num_failures integer;
    v_num_failures_in_a_row integer;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    PERFORM ledger.hold_unit_v1(v_caller.run_id, p_worker, p_unit, p_attempt, p_token);
    PERFORM ledger.require_text_v1('reason', p_reason, 1000);
    IF p_failed IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'a release says whether the unit failed';
    END IF;
    UPDATE ledger.work_units u
       SET num_failures = u.num_failures + CASE WHEN p_failed THEN 1 ELSE 0 END
     WHERE u.id = p_unit
    RETURNING u.num_failures INTO v_num_failures;
    UPDATE ledger.work_units u
       SET state = CASE WHEN v_num_failures > v_caller.max_retries THEN 'failed' ELSE 'open' END,
           finished_at = CASE WHEN v_num_failures > v_caller.max_retries THEN now() END,
           state_reason = p_reason, lease_token = NULL, lease_expires_at = NULL
     WHERE u.id = p_unit;
    IF p_failed THEN
        UPDATE ledger.workers w
           SET num_failures_in_a_row = w.num_failures_in_a_row + 1, last_failure_at = now()
         WHERE w.id = p_worker
        RETURNING w.num_failures_in_a_row INTO v_num_failures_in_a_row;
        IF v_num_failures_in_a_row >= 10 THEN
            PERFORM volunteer.leave_v1(p_worker, 'ten units in a row failed');
        END IF;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION volunteer.release_v1(bigint, bigint, integer, uuid, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.release_v1(bigint, bigint, integer, uuid, text, boolean) TO barnraise_volunteers;
