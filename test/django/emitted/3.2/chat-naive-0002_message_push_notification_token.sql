BEGIN;
--
-- Add field push_notification_token to message
--
ALTER TABLE "chat_message" ADD COLUMN "push_notification_token_id" integer NULL CONSTRAINT "chat_message_push_notification_to_1ceb579c_fk_chat_push" REFERENCES "chat_pushnotificationtoken"("id") DEFERRABLE INITIALLY DEFERRED; SET CONSTRAINTS "chat_message_push_notification_to_1ceb579c_fk_chat_push" IMMEDIATE;
CREATE INDEX "chat_message_push_notification_token_id_1ceb579c" ON "chat_message" ("push_notification_token_id");
COMMIT;
