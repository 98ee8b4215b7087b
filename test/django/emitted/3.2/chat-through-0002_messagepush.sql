BEGIN;
--
-- Create model MessagePush
--
CREATE TABLE "chat_messagepush" ("id" serial NOT NULL PRIMARY KEY, "message_id" integer NOT NULL UNIQUE, "token_id" integer NOT NULL);
ALTER TABLE "chat_messagepush" ADD CONSTRAINT "chat_messagepush_message_id_59f57f87_fk_chat_message_id" FOREIGN KEY ("message_id") REFERENCES "chat_message" ("id") DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE "chat_messagepush" ADD CONSTRAINT "chat_messagepush_token_id_64536029_fk_chat_push" FOREIGN KEY ("token_id") REFERENCES "chat_pushnotificationtoken" ("id") DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX "chat_messagepush_token_id_64536029" ON "chat_messagepush" ("token_id");
COMMIT;
