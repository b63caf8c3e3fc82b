-- A process of this volunteer takes its place in a run, and is told all that decides what it will compute.
CREATE FUNCTION volunteer.join_v1(p_run text, p_name text, p_host text, p_device text,
                                  p_capabilities jsonb, p_software jsonb, p_protocol integer)
RETURNS TABLE (worker_id bigint, run_id bigint, run_state text, mode text, workload text, workload_options jsonb,
               data jsonb, training jsonb, seed bigint, head_version bigint, lease_seconds integer,
               heartbeat_seconds integer, max_leases integer, max_part_bytes bigint, max_gradient_bytes bigint,
               run_created_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_volunteer bigint := ledger.caller_v1();
    v_failed_at timestamptz;
    v_run ledger.runs;
    v_worker bigint;
    v_max_workers integer;
BEGIN
    SELECT * INTO v_run FROM ledger.runs r WHERE r.name = p_run;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'BR007', MESSAGE = format('there is no run named %L', left(p_run, 100)),
            HINT = 'the runs of this ledger are in watch.progress';
    END IF;
    IF coalesce(p_protocol, 0) < v_run.min_protocol THEN
        RAISE EXCEPTION USING ERRCODE = 'BR003',
            MESSAGE = format('run %s speaks protocol %s, your worker speaks %s', v_run.name, v_run.min_protocol,
                             coalesce(p_protocol, 0)),
            HINT = 'pip install --upgrade barnraise';
    END IF;
    IF v_run.state IN ('finished', 'failed') THEN
        RAISE EXCEPTION USING ERRCODE = 'BR009', MESSAGE = format('run %s is %s', v_run.name, v_run.state);
    END IF;
    PERFORM ledger.require_text_v1('name', p_name, 100);
    PERFORM ledger.require_text_v1('host', p_host, 200);
    PERFORM ledger.require_text_v1('device', p_device, 200);
    PERFORM ledger.require_object_v1('capabilities', p_capabilities);
    PERFORM ledger.require_object_v1('software', p_software);
    -- The volunteer's own row is the lock under which their workers are counted.
    SELECT v.max_workers INTO v_max_workers FROM ledger.volunteers v WHERE v.id = v_volunteer FOR UPDATE;
    IF (SELECT count(*) FROM ledger.workers w
          JOIN ledger.heartbeats h ON h.worker_id = w.id AND h.at > now() - make_interval(secs => v_run.lease_seconds)
         WHERE w.volunteer_id = v_volunteer AND w.left_at IS NULL) >= v_max_workers THEN
        RAISE EXCEPTION USING ERRCODE = 'BR005',
            MESSAGE = format('you have %s workers already, as many as you may', v_max_workers);
    END IF;
    -- Each joining leaves three rows for ever, so joining and leaving in a loop would fill the disk.
    IF (SELECT count(*) FROM ledger.workers w
         WHERE w.volunteer_id = v_volunteer AND w.joined_at > now() - interval '1 hour') >= 60 * v_max_workers THEN
        RAISE EXCEPTION USING ERRCODE = 'BR005',
            MESSAGE = format('your workers joined %s times within an hour; wait a while', 60 * v_max_workers);
    END IF;
    SELECT max(w.last_failure_at) INTO v_failed_at FROM ledger.workers w
     WHERE w.volunteer_id = v_volunteer AND w.num_failures_in_a_row >= 10;
    IF v_failed_at > now() - interval '5 minutes' THEN
        RAISE EXCEPTION USING ERRCODE = 'BR005', MESSAGE = 'ten units in a row failed on your computer; wait five minutes',
            HINT = 'worker doctor says what is wrong';
    END IF;
    INSERT INTO ledger.workers (volunteer_id, run_id, role_name, name, host, device, capabilities, software, protocol)
    VALUES (v_volunteer, v_run.id, session_user, p_name, p_host, p_device, p_capabilities, p_software, p_protocol)
    RETURNING id INTO v_worker;
    INSERT INTO ledger.heartbeats (worker_id, phase) VALUES (v_worker, 'joined');
    INSERT INTO ledger.events (run_id, subject, subject_id, new_state, worker_id)
    VALUES (v_run.id, 'worker', v_worker, 'joined', v_worker);
    RETURN QUERY SELECT v_worker, v_run.id, v_run.state, v_run.mode, v_run.workload, v_run.workload_options,
        v_run.data, v_run.training, v_run.seed, v_run.head_version, v_run.lease_seconds, v_run.heartbeat_seconds,
        v_run.max_leases_per_worker, v_run.max_part_bytes, v_run.max_gradient_bytes, v_run.created_at;
END
$$;
REVOKE ALL ON FUNCTION volunteer.join_v1(text, text, text, text, jsonb, jsonb, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.join_v1(text, text, text, text, jsonb, jsonb, integer) TO barnraise_volunteers;
