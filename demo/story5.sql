-- # Story 5: a unique constraint on a table with millions of rows
--
-- One counter per ad and day. The constraint builds its index while nobody can
-- even read the table.

ALTER TABLE ads_impressioncounter
  ADD CONSTRAINT unique_ad_impression_date UNIQUE (ad_id, impression_date);

SELECT relation, lock_mode, blocks, index_builds AS idx, estimate
FROM migration_guard.explain($$
ALTER TABLE ads_impressioncounter
  ADD CONSTRAINT unique_ad_impression_date UNIQUE (ad_id, impression_date);
$$);

-- The hint's way: build the index beside the traffic, then promote it.

CREATE UNIQUE INDEX CONCURRENTLY ads_ic_idx
  ON ads_impressioncounter (ad_id, impression_date);
ALTER TABLE ads_impressioncounter
  ADD CONSTRAINT unique_ad_impression_date UNIQUE USING INDEX ads_ic_idx;

SELECT verdict, rule, message FROM migration_guard.check($$
CREATE UNIQUE INDEX CONCURRENTLY ads_ic_idx2
  ON ads_impressioncounter (ad_id, impression_date);
$$);
