-- The gradient is complete. Gradient, unit, events and the hint to the coordinator go in this one transaction.
-- The last part may ride along: a small gradient needs one round trip.
CREATE FUNCTION volunteer.submit_v1(p_worker bigint, p_unit bigint, p_attempt integer, p_token uuid, p_codec text,
                                    p_num_samples bigint, p_num_parts integer, p_num_bytes bigint, p_sha256 bytea,
                                    p_losses jsonb, p_last_part bytea DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_caller record;
    v_unit record;
    v_gradient bigint;
    v_num_bytes bigint;
    v_num_parts bigint;
    v_last_part integer;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    SELECT * INTO v_unit FROM ledger.hold_unit_v1(v_caller.run_id, p_worker, p_unit, p_attempt, p_token);
    IF p_codec IS NULL OR p_codec !~ '^[a-z][a-z0-9_]{0,39}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'a codec has a short plain name';
    END IF;
    IF p_num_samples IS NULL OR p_num_samples NOT BETWEEN 1 AND v_unit.num_samples THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006',
            MESSAGE = format('unit %s holds %s samples, not %s', p_unit, v_unit.num_samples, p_num_samples);
    END IF;
    IF p_num_parts IS NULL OR p_num_parts NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'a gradient has 1 to 100000 parts';
    END IF;
    IF p_sha256 IS NULL OR octet_length(p_sha256) <> 32 THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'a sha256 has 32 bytes';
    END IF;
    PERFORM ledger.require_losses_v1(p_losses);
    IF p_last_part IS NOT NULL THEN
        PERFORM ledger.store_part_v1(v_caller.run_id, p_worker, p_unit, p_attempt, v_unit.base_version,
                                     p_num_parts - 1, p_last_part, v_caller.max_part_bytes, v_caller.max_gradient_bytes);
    END IF;
    SELECT g.id, g.num_bytes INTO v_gradient, v_num_bytes FROM ledger.gradients g
     WHERE g.unit_id = p_unit AND g.attempt = p_attempt;
    SELECT count(*), max(b.part) INTO v_num_parts, v_last_part
      FROM ledger.gradient_blobs b WHERE b.gradient_id = v_gradient;
    IF v_num_parts = 0 OR v_num_parts IS DISTINCT FROM p_num_parts OR v_last_part <> p_num_parts - 1
       OR v_num_bytes IS DISTINCT FROM p_num_bytes THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006',
            MESSAGE = format('%s parts and %s bytes were announced, %s parts and %s bytes arrived',
                             p_num_parts, p_num_bytes, v_num_parts, coalesce(v_num_bytes, 0));
    END IF;
    UPDATE ledger.gradients g
       SET state = 'submitted', codec = p_codec, num_samples = p_num_samples, num_parts = p_num_parts,
           sha256 = p_sha256, losses = p_losses, submitted_at = now()
     WHERE g.id = v_gradient;
    UPDATE ledger.work_units u
       SET state = 'submitted', lease_token = NULL, lease_expires_at = NULL
     WHERE u.id = p_unit;
    UPDATE ledger.workers w SET num_failures_in_a_row = 0
     WHERE w.id = p_worker AND w.num_failures_in_a_row > 0;
    -- NOTIFY takes a global lock at commit: none for the first half of an update. The last submits of a round come at
    -- one moment and do not see one another, so that each must believe it may be the last.
    IF 2 * (SELECT count(*) FROM (SELECT FROM ledger.gradients g
                                   WHERE g.run_id = v_caller.run_id AND g.state = 'submitted'
                                   LIMIT v_caller.num_gradients_per_update) waiting)
       >= v_caller.num_gradients_per_update THEN
        PERFORM pg_notify('barnraise', format('gradients %s', v_caller.run_id));
    END IF;
    RETURN v_gradient;
END
$$;
REVOKE ALL ON FUNCTION volunteer.submit_v1(bigint, bigint, integer, uuid, text, bigint, integer, bigint, bytea, jsonb, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.submit_v1(bigint, bigint, integer, uuid, text, bigint, integer, bigint, bytea, jsonb, bytea) TO barnraise_volunteers;
