-- Keeps one part of a gradient and answers with the gradient it belongs to. A part sent again replaces the first,
-- and counts among the bytes sent.
CREATE FUNCTION ledger.store_part_v1(p_run bigint, p_worker bigint, p_unit bigint, p_attempt integer,
                                     p_base_version bigint, p_part integer, p_content bytea,
                                     p_max_part_bytes bigint, p_max_gradient_bytes bigint,
                                     OUT gradient_id bigint, OUT num_bytes bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_size bigint := octet_length(p_content);
    v_old_size bigint;
BEGIN
    IF v_size IS NULL OR v_size = 0 OR p_part IS NULL OR p_part NOT BETWEEN 0 AND 99999 THEN
        RAISE EXCEPTION USING ERRCODE = 'BR006', MESSAGE = 'a part has a number from 0 and at least one byte';
    END IF;
    IF v_size > p_max_part_bytes THEN
        RAISE EXCEPTION USING ERRCODE = 'BR005',
            MESSAGE = format('a part holds at most %s bytes, this one has %s', p_max_part_bytes, v_size);
    END IF;
    SELECT g.id, g.num_bytes INTO gradient_id, num_bytes FROM ledger.gradients g
     WHERE g.unit_id = p_unit AND g.attempt = p_attempt FOR UPDATE;
    IF FOUND THEN
        SELECT octet_length(b.content) INTO v_old_size FROM ledger.gradient_blobs b
         WHERE b.gradient_id = store_part_v1.gradient_id AND b.part = p_part;
    END IF;
    num_bytes := coalesce(num_bytes, 0) + v_size - coalesce(v_old_size, 0);
    IF num_bytes > p_max_gradient_bytes THEN
        RAISE EXCEPTION USING ERRCODE = 'BR005', MESSAGE = format('a gradient holds at most %s bytes', p_max_gradient_bytes);
    END IF;
    IF gradient_id IS NULL THEN
        INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state, num_bytes, sent_bytes)
        VALUES (p_run, p_unit, p_attempt, p_worker, p_base_version, 'uploading', store_part_v1.num_bytes, v_size)
        RETURNING id INTO gradient_id;
    ELSE
        UPDATE ledger.gradients g SET num_bytes = store_part_v1.num_bytes, sent_bytes = g.sent_bytes + v_size
         WHERE g.id = store_part_v1.gradient_id;
    END IF;
    IF v_old_size IS NULL THEN
        INSERT INTO ledger.gradient_blobs VALUES (gradient_id, p_part, p_content);
    ELSE
        UPDATE ledger.gradient_blobs b SET content = p_content
         WHERE b.gradient_id = store_part_v1.gradient_id AND b.part = p_part;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION ledger.store_part_v1(bigint, bigint, bigint, integer, bigint, integer, bytea, bigint, bigint) FROM PUBLIC;
