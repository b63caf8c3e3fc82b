-- Who is calling, for which worker, in which run: every volunteer function asks this first (claim_v1 in its own words).
CREATE FUNCTION ledger.authorise_v1(
    p_worker bigint,
    OUT run_id bigint, OUT run_state text, OUT head_version bigint, OUT num_gradients_per_update integer,
    OUT lease_seconds integer, OUT max_lease_seconds integer, OUT max_retries integer, OUT max_leases integer,
    OUT max_part_bytes bigint, OUT max_gradient_bytes bigint
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_worker ledger.workers;
BEGIN
    SELECT r.id, r.state, r.head_version, r.num_gradients_per_update, r.lease_seconds, r.max_lease_seconds,
           r.max_retries, r.max_leases_per_worker, r.max_part_bytes, r.max_gradient_bytes
      INTO run_id, run_state, head_version, num_gradients_per_update, lease_seconds, max_lease_seconds,
           max_retries, max_leases, max_part_bytes, max_gradient_bytes
      FROM ledger.workers w
      JOIN ledger.runs r ON r.id = w.run_id
     WHERE w.id = p_worker AND w.role_name = session_user::text AND w.left_at IS NULL;
    IF FOUND THEN
        RETURN;
    END IF;
    PERFORM ledger.caller_v1();
    SELECT * INTO v_worker FROM ledger.workers w WHERE w.id = p_worker AND w.role_name = session_user::text;
    RAISE EXCEPTION USING ERRCODE = 'BR007', MESSAGE = CASE
        WHEN FOUND THEN format('worker %s has left (%s); join again', p_worker, v_worker.left_reason)
        ELSE format('you have no worker %s', p_worker) END;
END
$$;
REVOKE ALL ON FUNCTION ledger.authorise_v1(bigint) FROM PUBLIC;
