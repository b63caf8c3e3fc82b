-- Behind claim_v1 where nothing is open above the floor: says why this worker may not claim, or finds a unit that came
-- back below the floor (which is only a hint of the coordinator's), or a lease that is over.
CREATE FUNCTION ledger.claim_what_is_left_v1(
    p_worker bigint,
    OUT unit_id bigint, OUT attempt integer, OUT lease_token uuid, OUT lease_seconds integer, OUT epoch integer,
    OUT first_sample bigint, OUT num_samples integer, OUT seed bigint, OUT base_version bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_caller record;
    v_unit bigint;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    IF v_caller.run_state IN ('finished', 'failed') THEN
        RAISE EXCEPTION USING ERRCODE = 'BR009', MESSAGE = format('the run is %s', v_caller.run_state);
    END IF;
    IF v_caller.run_state <> 'running' THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM ledger.work_units u
                WHERE u.run_id = v_caller.run_id AND u.worker_id = p_worker AND u.state = 'leased'
               OFFSET v_caller.max_leases - 1) THEN
        RAISE EXCEPTION USING ERRCODE = 'BR005',
            MESSAGE = format('worker %s holds %s units; finish or release one first', p_worker, v_caller.max_leases);
    END IF;
    SELECT u.id INTO v_unit FROM ledger.work_units u
     WHERE u.run_id = v_caller.run_id AND u.state = 'open'
     ORDER BY u.position LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT u.id INTO v_unit FROM ledger.work_units u
         WHERE u.run_id = v_caller.run_id AND u.state = 'leased' AND u.num_failures < v_caller.max_retries
           AND ledger.lease_is_over_v1(u.id, u.worker_id, u.leased_at, u.lease_expires_at, v_caller.max_lease_seconds)
         ORDER BY u.lease_expires_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    UPDATE ledger.work_units u
       SET state = 'leased', worker_id = p_worker, attempt = u.attempt + 1,
           num_failures = u.num_failures + (u.state = 'leased')::integer,
           state_reason = CASE WHEN u.state = 'leased' THEN format('the lease of worker %s is over', u.worker_id) END,
           lease_token = gen_random_uuid(), leased_at = now(),
           lease_expires_at = now() + v_caller.lease_seconds * interval '1 second',
           base_version = coalesce(u.planned_version, v_caller.head_version)
     WHERE u.id = v_unit
    RETURNING u.id, u.attempt, u.lease_token, v_caller.lease_seconds, u.epoch, u.first_sample, u.num_samples, u.seed,
              u.base_version
         INTO unit_id, attempt, lease_token, lease_seconds, epoch, first_sample, num_samples, seed, base_version;
END
$$;
REVOKE ALL ON FUNCTION ledger.claim_what_is_left_v1(bigint) FROM PUBLIC;
