-- The fate of a gradient is decided: it is counted for its worker, and in its epoch where it was not used. The guard of gradients
-- calls this, once in a gradient's life, since no edge leads from there. It is the coordinator who decides, so that no
-- volunteer's transaction ever holds one of these rows.
CREATE FUNCTION ledger.tally_gradient_v1(p_gradient ledger.gradients) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_epoch integer;
    v_leased_at timestamptz;
    v_seconds double precision;
    v_raw_bytes bigint;
    v_stale boolean := p_gradient.state = 'rejected' AND starts_with(p_gradient.verdict, 'stale:');
BEGIN
    IF p_gradient.submitted_at IS NULL THEN
        -- It was never complete. Its bytes came all the same.
        INSERT INTO ledger.worker_tallies AS t (run_id, worker_id, sent_bytes)
        VALUES (p_gradient.run_id, p_gradient.worker_id, p_gradient.sent_bytes)
        ON CONFLICT (run_id, worker_id) DO UPDATE SET sent_bytes = t.sent_bytes + excluded.sent_bytes;
        RETURN;
    END IF;
    SELECT u.epoch, CASE WHEN u.attempt = p_gradient.attempt THEN u.leased_at END INTO v_epoch, v_leased_at
      FROM ledger.work_units u WHERE u.id = p_gradient.unit_id;
    -- From the claim, or from the first byte of the gradient before: a worker that claims ahead has two units in hand.
    -- By the pair, because only that index has this order; by the id alone, a worker's first would search through all.
    SELECT greatest(0, extract(epoch FROM p_gradient.created_at - greatest(v_leased_at, max(before.created_at))))
      INTO v_seconds
      FROM (SELECT g.worker_id, g.created_at FROM ledger.gradients g
             WHERE (g.worker_id, g.id) < (p_gradient.worker_id, p_gradient.id)
             ORDER BY g.worker_id DESC, g.id DESC LIMIT 1) before
     WHERE before.worker_id = p_gradient.worker_id;
    -- The weights it was computed from have its form.
    SELECT m.num_bytes INTO v_raw_bytes
      FROM ledger.model_versions m WHERE m.run_id = p_gradient.run_id AND m.number = p_gradient.base_version;
    INSERT INTO ledger.worker_tallies AS t (
        run_id, worker_id, num_merged, num_stale, num_refused, num_late, num_samples_merged, staleness_sum, weight_sum,
        seconds_computing, raw_bytes, coded_bytes, sent_bytes, first_at, last_at)
    VALUES (
        p_gradient.run_id, p_gradient.worker_id, (p_gradient.state = 'merged')::integer, v_stale::integer,
        (p_gradient.state = 'rejected' AND NOT v_stale)::integer, (p_gradient.state = 'discarded')::integer,
        CASE p_gradient.state WHEN 'merged' THEN p_gradient.num_samples ELSE 0 END,
        CASE p_gradient.state WHEN 'merged' THEN p_gradient.merged_version - 1 - p_gradient.base_version ELSE 0 END,
        CASE p_gradient.state WHEN 'merged' THEN p_gradient.weight ELSE 0 END,
        CASE WHEN v_leased_at IS NULL THEN 0 ELSE v_seconds END, coalesce(v_raw_bytes, 0), p_gradient.num_bytes,
        p_gradient.sent_bytes, p_gradient.submitted_at, p_gradient.submitted_at)
    ON CONFLICT (run_id, worker_id) DO UPDATE
       SET num_merged = t.num_merged + excluded.num_merged, num_stale = t.num_stale + excluded.num_stale,
           num_refused = t.num_refused + excluded.num_refused, num_late = t.num_late + excluded.num_late,
           num_samples_merged = t.num_samples_merged + excluded.num_samples_merged,
           staleness_sum = t.staleness_sum + excluded.staleness_sum, weight_sum = t.weight_sum + excluded.weight_sum,
           seconds_computing = t.seconds_computing + excluded.seconds_computing,
           raw_bytes = t.raw_bytes + excluded.raw_bytes, coded_bytes = t.coded_bytes + excluded.coded_bytes,
           sent_bytes = t.sent_bytes + excluded.sent_bytes, first_at = least(t.first_at, excluded.first_at),
           last_at = greatest(t.last_at, excluded.last_at);
    IF p_gradient.state <> 'merged' AND v_epoch IS NOT NULL THEN
        INSERT INTO ledger.unit_tallies AS t (run_id, epoch, lane, num_samples_surplus)
        VALUES (p_gradient.run_id, v_epoch, p_gradient.unit_id % 16, p_gradient.num_samples)
        ON CONFLICT (run_id, epoch, lane) DO UPDATE
           SET num_samples_surplus = t.num_samples_surplus + excluded.num_samples_surplus;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION ledger.tally_gradient_v1(ledger.gradients) FROM PUBLIC;
