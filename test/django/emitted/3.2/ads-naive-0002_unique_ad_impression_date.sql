BEGIN;
--
-- Create constraint unique_ad_impression_date on model impressioncounter
--
ALTER TABLE "ads_impressioncounter" ADD CONSTRAINT "unique_ad_impression_date" UNIQUE ("ad_id", "impression_date");
COMMIT;
