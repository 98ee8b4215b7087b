BEGIN;
--
-- Alter field impressions on impressioncounter
--
ALTER TABLE "ads_impressioncounter" ALTER COLUMN "impressions" TYPE bigint USING "impressions"::bigint;
COMMIT;
