-- Whose graph this is, and how far it has been told. One row at most.
CREATE TABLE mark (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  chain TEXT NOT NULL,
  height INTEGER NOT NULL,
  head_hash TEXT NOT NULL,
  leaf INTEGER NOT NULL
) STRICT;

CREATE TABLE network (
  name TEXT PRIMARY KEY,
  crs TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  model_start_ns INTEGER NOT NULL,
  is_model_start_given INTEGER NOT NULL,
  inp_sha256 TEXT NOT NULL,
  height INTEGER NOT NULL,
  leaf_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A network's assets may be told of before the network itself.
CREATE TABLE topology (
  network TEXT PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- start_ref of a user is the junction that serves it.
CREATE TABLE asset (
  network TEXT NOT NULL,
  ref TEXT NOT NULL,
  kind TEXT NOT NULL,
  is_link INTEGER NOT NULL,
  start_ref TEXT,
  end_ref TEXT,
  is_open INTEGER NOT NULL,
  is_oneway INTEGER NOT NULL,
  from_model INTEGER NOT NULL,
  geometry TEXT NOT NULL,
  properties TEXT NOT NULL,
  height INTEGER NOT NULL,
  leaf_index INTEGER NOT NULL,
  PRIMARY KEY (network, ref)
) STRICT, WITHOUT ROWID;

CREATE INDEX asset_by_kind ON asset (network, kind, ref);
CREATE INDEX asset_by_start ON asset (network, start_ref);
CREATE INDEX asset_by_end ON asset (network, end_ref);

CREATE TABLE happening (
  height INTEGER NOT NULL,
  leaf_index INTEGER NOT NULL,
  network TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  at_ns INTEGER NOT NULL,
  concerns TEXT NOT NULL,
  PRIMARY KEY (height, leaf_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX happening_by_kind ON happening (network, kind, height, leaf_index);

-- Derived, so it cannot disagree with the assets: one for each link that has both its ends, and one
-- for each user whose junction is recorded.
CREATE VIEW connects AS
SELECT a.network, a.ref AS link, a.start_ref, a.end_ref, a.is_open, a.is_oneway, a.from_model
FROM asset AS a
JOIN asset AS s ON s.network = a.network AND s.ref = a.start_ref AND NOT s.is_link
JOIN asset AS e ON e.network = a.network AND e.ref = a.end_ref AND NOT e.is_link
WHERE a.is_link
UNION ALL
SELECT u.network, NULL, u.start_ref, u.ref, 1, 1, 0
FROM asset AS u
JOIN asset AS s ON s.network = u.network AND s.ref = u.start_ref AND NOT s.is_link
WHERE NOT u.is_link;
