-- The fence: locks the unit for the caller's transaction if worker, attempt and token are those of its present lease,
-- else says why not. An expired lease that nobody took still stands: the work is sound and nothing is counted twice.
CREATE FUNCTION ledger.hold_unit_v1(p_run bigint, p_worker bigint, p_unit bigint, p_attempt integer, p_token uuid,
                                    OUT base_version bigint, OUT num_samples integer)
LANGUAGE plpgsql AS $$
DECLARE
    v_unit ledger.work_units;
BEGIN
    SELECT u.base_version, u.num_samples INTO base_version, num_samples
      FROM ledger.work_units u
     WHERE u.id = p_unit AND u.run_id = p_run AND u.state = 'leased'
       AND u.worker_id = p_worker AND u.attempt = p_attempt AND u.lease_token = p_token
       FOR NO KEY UPDATE;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO v_unit FROM ledger.work_units u WHERE u.id = p_unit AND u.run_id = p_run;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'BR007', MESSAGE = format('there is no unit %s in your run', p_unit);
    END IF;
    IF EXISTS (SELECT FROM ledger.gradients g WHERE g.unit_id = p_unit AND g.attempt = p_attempt
                  AND g.worker_id = p_worker AND g.state IN ('submitted', 'merged', 'rejected')) THEN
        RAISE EXCEPTION USING ERRCODE = 'BR008', MESSAGE = format('unit %s, attempt %s was submitted before', p_unit, p_attempt);
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'BR001', MESSAGE = CASE
        WHEN v_unit.state = 'cancelled' THEN format('unit %s was cancelled: %s', p_unit, coalesce(v_unit.state_reason, 'not needed any more'))
        WHEN v_unit.worker_id IS DISTINCT FROM p_worker THEN format('unit %s is not leased to worker %s', p_unit, p_worker)
        WHEN v_unit.attempt <> p_attempt THEN format('unit %s is at attempt %s, not %s', p_unit, v_unit.attempt, p_attempt)
        WHEN v_unit.state <> 'leased' THEN format('unit %s is %s', p_unit, v_unit.state)
        ELSE format('the token is not that of the lease of unit %s', p_unit)
    END;
END
$$;
REVOKE ALL ON FUNCTION ledger.hold_unit_v1(bigint, bigint, bigint, integer, uuid) FROM PUBLIC;
