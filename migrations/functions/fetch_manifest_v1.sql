-- What a version of the model consists of, and how many parts of weights to fetch; no row when it was pruned.
CREATE FUNCTION volunteer.fetch_manifest_v1(p_worker bigint, p_version bigint)
RETURNS TABLE (version bigint, parent bigint, sha256 bytea, num_bytes bigint, manifest jsonb, optimizer_step bigint,
               part_sha256s bytea[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_caller record;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    RETURN QUERY
    SELECT m.number, m.parent, m.sha256, m.num_bytes, m.manifest, m.optimizer_step, p.sha256s
      FROM ledger.model_versions m
      CROSS JOIN LATERAL (SELECT array_agg(p.sha256 ORDER BY p.part) AS sha256s
                            FROM ledger.model_parts p
                           WHERE p.run_id = m.run_id AND p.version = m.number AND p.kind = 'weights') p
     WHERE m.run_id = v_caller.run_id AND m.number = p_version AND p.sha256s IS NOT NULL;
END
$$;
REVOKE ALL ON FUNCTION volunteer.fetch_manifest_v1(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.fetch_manifest_v1(bigint, bigint) TO barnraise_volunteers;
