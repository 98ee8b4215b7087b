BEGIN;
--
-- Create index ads_ic_date_idx on field(s) impression_date of model impressioncounter
--
CREATE INDEX "ads_ic_date_idx" ON "ads_impressioncounter" ("impression_date");
COMMIT;
