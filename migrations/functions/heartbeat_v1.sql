-- A sign of life, and what the worker should know: which of its units it lost, which were cancelled, what the run does.
-- Units and attempts are two arrays of one length, at most 16.
CREATE FUNCTION volunteer.heartbeat_v1(p_worker bigint, p_units bigint[], p_attempts integer[], p_phase text,
                                       p_progress real, p_samples_per_second real)
RETURNS TABLE (run_state text, head_version bigint, lost bigint[], cancelled bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_caller record;
    v_held bigint[] := '{}';
    v_lost bigint[] := '{}';
    v_cancelled bigint[] := '{}';
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    IF p_units IS NULL OR p_attempts IS NULL OR cardinality(p_units) > 16
       OR cardinality(p_units) <> cardinality(p_attempts) OR array_ndims(p_units) > 1 OR array_ndims(p_attempts) > 1
       OR array_position(p_units, NULL) > 0 OR array_position(p_attempts, NULL) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'a heartbeat names at most 16 units and an attempt for each';
    END IF;
    PERFORM ledger.require_text_v1('phase', p_phase, 40);
    IF p_progress NOT BETWEEN 0 AND 1 OR p_samples_per_second NOT BETWEEN 0 AND 1e12 THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006',
            MESSAGE = 'progress lies between 0 and 1, samples/s between 0 and 1e12';
    END IF;
    IF cardinality(p_units) > 0 THEN
        SELECT coalesce(array_agg(named.unit) FILTER (WHERE u.state IN ('leased', 'submitted', 'merged')), '{}'),
               coalesce(array_agg(named.unit) FILTER (WHERE u.state IS NULL OR u.state IN ('open', 'failed')), '{}'),
               coalesce(array_agg(named.unit) FILTER (WHERE u.state = 'cancelled'), '{}')
          INTO v_held, v_lost, v_cancelled
          FROM unnest(p_units, p_attempts) AS named (unit, attempt)
          LEFT JOIN ledger.work_units u
            ON u.id = named.unit AND u.attempt = named.attempt AND u.worker_id = p_worker;
    END IF;
    UPDATE ledger.heartbeats h
       SET at = now(), unit_ids = v_held, phase = p_phase, progress = p_progress,
           samples_per_second = p_samples_per_second,
           leases_until = now() + make_interval(secs => v_caller.lease_seconds)
     WHERE h.worker_id = p_worker;
    RETURN QUERY SELECT v_caller.run_state, v_caller.head_version, v_lost, v_cancelled;
END
$$;
REVOKE ALL ON FUNCTION volunteer.heartbeat_v1(bigint, bigint[], integer[], text, real, real) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.heartbeat_v1(bigint, bigint[], integer[], text, real, real) TO barnraise_volunteers;
