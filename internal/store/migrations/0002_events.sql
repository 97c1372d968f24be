-- What happened, whole envelopes. Pages go by seq, the order in which they were stored; an id comes once.
CREATE TABLE events (
    seq         BIGINT PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    detail_type TEXT NOT NULL,
    source      TEXT NOT NULL,
    time        BIGINT NOT NULL,
    stored      BIGINT NOT NULL,
    entity      TEXT NOT NULL,
    incident    TEXT NOT NULL,
    depth       BIGINT NOT NULL,
    trail       TEXT NOT NULL,
    envelope    TEXT NOT NULL
);
CREATE INDEX events_entity ON events (entity, seq);
CREATE INDEX events_incident ON events (incident, seq);
CREATE INDEX events_type ON events (detail_type, seq);
CREATE INDEX events_stored ON events (stored);
