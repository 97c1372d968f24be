-- The key that signs the links by which people answer what an execution asks, made once.
CREATE TABLE link_key (
    id  BIGINT PRIMARY KEY, -- 1
    key TEXT NOT NULL -- hex
);
