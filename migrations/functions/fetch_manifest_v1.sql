-- What a version of the model consists of, and the way to it: a row for each thing to fetch, in the order of their use.
-- The way begins with the weights of some version, or with the first delta after `p_have`, whichever has fewer bytes;
-- its last row brings the version itself. No row when it was pruned.
CREATE FUNCTION volunteer.fetch_manifest_v1(p_worker bigint, p_version bigint, p_have bigint DEFAULT NULL)
RETURNS TABLE (version bigint, parent bigint, sha256 bytea, num_bytes bigint, manifest jsonb, optimizer_step bigint,
               kind text, codec text, fetch_bytes bigint, part_sha256s bytea[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    -- Over more versions nobody is led by deltas: this bounds what one call looks at.
    v_most CONSTANT bigint := 1000;
    v_caller record;
    v_whole bigint;
    v_after bigint;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    SELECT max(p.version) INTO v_whole
      FROM ledger.model_parts p
     WHERE p.run_id = v_caller.run_id AND p.kind = 'weights' AND p.version <= p_version;
    IF p_have < p_version AND p_have >= p_version - v_most THEN
        -- What both ways have in common lies after the newest whole version; before it, deltas stand against weights.
        SELECT p_have INTO v_after
          FROM ledger.model_versions m
         WHERE m.run_id = v_caller.run_id AND m.number > p_have AND m.number <= p_version
        HAVING count(*) FILTER (WHERE EXISTS (
                   SELECT FROM ledger.model_parts p
                    WHERE p.run_id = m.run_id AND p.version = m.number AND p.kind = 'delta')) = p_version - p_have
           AND coalesce(sum(m.delta_bytes) FILTER (WHERE m.number <= v_whole), 0)
               < coalesce(max(m.num_bytes) FILTER (WHERE m.number <= v_whole), 1);
    END IF;
    RETURN QUERY
    SELECT way.number, way.parent, way.sha256, way.num_bytes, way.manifest, way.optimizer_step, way.kind, way.codec,
           way.fetch_bytes, way.sha256s
      FROM (SELECT m.number, m.parent, m.sha256, m.num_bytes, CASE WHEN m.number = p_version THEN m.manifest END AS manifest,
                   m.optimizer_step, p.kind, CASE p.kind WHEN 'delta' THEN m.delta_codec END AS codec,
                   CASE p.kind WHEN 'delta' THEN m.delta_bytes ELSE m.num_bytes END AS fetch_bytes, p.sha256s,
                   count(*) OVER () AS num_rows
              FROM ledger.model_versions m
              CROSS JOIN LATERAL (
                  SELECT p.kind, array_agg(p.sha256 ORDER BY p.part) AS sha256s
                    FROM ledger.model_parts p
                   WHERE p.run_id = m.run_id AND p.version = m.number
                     AND p.kind = CASE WHEN v_after IS NULL AND m.number = v_whole THEN 'weights' ELSE 'delta' END
                   GROUP BY p.kind) p
             WHERE m.run_id = v_caller.run_id AND m.number BETWEEN coalesce(v_after + 1, v_whole) AND p_version) way
     -- A way with a gap leads nowhere.
     WHERE way.num_rows = p_version - coalesce(v_after + 1, v_whole) + 1
     ORDER BY way.number;
END
$$;
REVOKE ALL ON FUNCTION volunteer.fetch_manifest_v1(bigint, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.fetch_manifest_v1(bigint, bigint, bigint) TO barnraise_volunteers;
