-- The tables of the stories, empty; demo.sh fills the large ones.
CREATE TABLE chat_pushnotificationtoken (id serial PRIMARY KEY, token text NOT NULL);
CREATE TABLE chat_message (id bigserial PRIMARY KEY, author_id integer NOT NULL, body text NOT NULL);
CREATE TABLE teams_team (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE users_user (id serial PRIMARY KEY, email varchar(254) NOT NULL);
CREATE TABLE ads_impressioncounter (id bigserial PRIMARY KEY, ad_id integer NOT NULL,
    impression_date date NOT NULL, impressions integer NOT NULL);

INSERT INTO chat_pushnotificationtoken (token) SELECT md5(i::text) FROM generate_series(1, 5000) i;
INSERT INTO teams_team (name) SELECT 'team ' || i FROM generate_series(1, 200) i;
