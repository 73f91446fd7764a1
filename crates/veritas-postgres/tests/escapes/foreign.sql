-- A server that counts who knocks.
CREATE EXTENSION dblink;
CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '@PORT@', use_remote_estimate 'true');
CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'u', password 'p');
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
CREATE VIEW v_far AS SELECT id FROM far;
CREATE TABLE near (id int);
CREATE FOREIGN TABLE far_child () INHERITS (near) SERVER elsewhere;
CREATE FUNCTION evil_far() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT id FROM dblink(''host=127.0.0.1 port=@PORT@ user=u password=p'', ''select 1'') AS x(id int)';
