-- A lease ends when neither the claim nor a heartbeat covers the present moment, or when it has lasted too long.
-- The heartbeat's word lives in its own table, so that a sign of life never touches the queue.
CREATE FUNCTION ledger.lease_is_over_v1(p_unit bigint, p_worker bigint, p_leased_at timestamptz, p_expires_at timestamptz,
                                        p_max_lease_seconds integer) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT p_leased_at < now() - make_interval(secs => p_max_lease_seconds)
        OR (p_expires_at < now() AND NOT EXISTS (
               SELECT FROM ledger.heartbeats h
                WHERE h.worker_id = p_worker AND p_unit = ANY (h.unit_ids) AND h.leases_until >= now()))
$$;
REVOKE ALL ON FUNCTION ledger.lease_is_over_v1(bigint, bigint, timestamptz, timestamptz, integer) FROM PUBLIC;
