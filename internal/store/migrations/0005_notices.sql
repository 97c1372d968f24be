-- What people are told, queued in the transaction of the event that it tells of, until it has been delivered.
CREATE TABLE notices (
    id        TEXT PRIMARY KEY,
    target    TEXT NOT NULL,
    topic     TEXT NOT NULL,
    event     TEXT NOT NULL,
    severity  TEXT NOT NULL,
    title     TEXT NOT NULL,
    body      TEXT NOT NULL,
    link      TEXT NOT NULL,
    created   BIGINT NOT NULL,
    attempts  BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    message   TEXT NOT NULL,
    error     TEXT NOT NULL
);
CREATE INDEX notices_waiting ON notices (target, topic, delivered);
CREATE INDEX notices_delivered ON notices (target, delivered);
