BEGIN;
--
-- Alter field team on user
--
ALTER TABLE "users_user" ADD CONSTRAINT "users_user_team_id_9b7def40_fk_teams_team_id" FOREIGN KEY ("team_id") REFERENCES "teams_team" ("id") DEFERRABLE INITIALLY DEFERRED;
COMMIT;
