-- One unit for this worker, or no row when there is nothing to do: the first open one, else a lease that is over.
-- Units that came back stand before fresh ones, because they keep their position: somebody may wait for just them.
CREATE FUNCTION volunteer.claim_v1(p_worker bigint)
RETURNS TABLE (unit_id bigint, attempt integer, lease_token uuid, lease_seconds integer, epoch integer,
               first_sample bigint, num_samples integer, seed bigint, base_version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- The usual case in one statement, because each further one costs as much as half of pgbench's transaction.
    -- The floor spares it the dead index entries that its forerunners left at the front of the queue. By ctid, because
    -- the row is locked; where it moved under the lock nothing is updated, and what follows looks again.
    RETURN QUERY
    UPDATE ledger.work_units u
       SET state = 'leased', state_reason = NULL, worker_id = p_worker, attempt = u.attempt + 1,
           lease_token = gen_random_uuid(), leased_at = now(),
           lease_expires_at = now() + r.lease_seconds * interval '1 second',
           base_version = coalesce(u.planned_version, r.head_version)
      FROM ledger.runs r
     WHERE r.id = (SELECT w.run_id FROM ledger.workers w
                    WHERE w.id = p_worker AND w.role_name = session_user::text AND w.left_at IS NULL)
       AND r.state = 'running'
       AND u.ctid = (SELECT o.ctid FROM ledger.work_units o
                      WHERE o.run_id = r.id AND o.state = 'open' AND o.position >= r.claim_floor
                        AND (SELECT true FROM ledger.work_units held
                              WHERE held.worker_id = p_worker AND held.state = 'leased'
                             OFFSET r.max_leases_per_worker - 1 LIMIT 1) IS NULL
                      ORDER BY o.position LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING u.id, u.attempt, u.lease_token, r.lease_seconds, u.epoch, u.first_sample, u.num_samples, u.seed,
              u.base_version;
    IF NOT FOUND THEN
        RETURN QUERY SELECT * FROM ledger.claim_what_is_left_v1(p_worker) c WHERE c.unit_id IS NOT NULL;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION volunteer.claim_v1(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.claim_v1(bigint) TO barnraise_volunteers;
