"""Every statement that is sent to Neo4j, with parameters; nothing is pasted into them.

What is looked up names its index: the first import is planned on the statistics of an empty
database, where scanning every node looks cheaper and then is not.

They run on Community 5.26: no APOC, and of constraints only uniqueness. None follows relationships
without a bound, which would list every trail of a looped network: traces run in `graph.traces`.
"""

from __future__ import annotations

from typing import Final

ASSET_VALUES: Final = """{.network, .ref, .kind, .is_link, .start_ref, .end_ref, .is_open,
  .is_oneway, .from_model, .geometry, .properties, .height, .leaf_index}"""

PING: Final = "RETURN 1"

# Whose graph it is

READ_MARK: Final = """
MATCH (m:Mark {one: 1})
RETURN m {.chain, .height, .head_hash, .leaf, .is_dropping} AS row"""

# Setting a property takes the write lock, so what is read next stays true until the end.
LOCK_MARK: Final = "MATCH (m:Mark {one: 1}) SET m.one = 1"

CLAIM_MARK: Final = """
MERGE (m:Mark {one: 1})
ON CREATE SET m.chain = $chain, m.height = 0, m.head_hash = '', m.leaf = 0,
  m.is_dropping = false
SET m.one = 1"""

SET_MARK: Final = """
MATCH (m:Mark {one: 1})
SET m.chain = $chain, m.height = $height, m.head_hash = $head_hash, m.leaf = $leaf,
  m.is_dropping = $is_dropping"""

DELETE_MARK: Final = "MATCH (m:Mark {one: 1}) DELETE m"

# Who else is here

FOREIGN_NODES: Final = """
MATCH (n)
WHERE NOT n:Mark AND NOT n:Migration AND (n.chain IS NULL OR n.chain <> $chain)
UNWIND CASE WHEN size(labels(n)) = 0 THEN ['(no label)'] ELSE labels(n)[..1] END AS label
RETURN label, count(*) AS n ORDER BY label LIMIT 100"""

FOREIGN_RELATIONSHIPS: Final = """
MATCH ()-[r]->()
WHERE NOT type(r) IN ['CONNECTS', 'CONCERNS']
RETURN type(r) AS label, count(*) AS n ORDER BY label LIMIT 100"""

HOLDINGS: Final = """
RETURN COUNT { MATCH (:Network) } AS networks,
       COUNT { MATCH (:Asset) } AS assets,
       COUNT { MATCH ()-[:CONNECTS]->() } AS connections,
       COUNT { MATCH (:Happening) } AS happenings"""

DROP_SOME: Final = """
MATCH (n)
WHERE n.chain = $chain AND NOT n:Mark
WITH n LIMIT $limit
DETACH DELETE n
RETURN count(*) AS n"""

# What is told

PUT_NETWORKS: Final = """
UNWIND $rows AS row
MERGE (n:Network {name: row.name})
SET n = row"""

PUT_ASSETS: Final = """
UNWIND $rows AS row
MERGE (a:Asset {network: row.values.network, ref: row.values.ref})
REMOVE a:Source:Plant:Tank:Junction:User:Manhole:SewagePlant:Outfall:WaterBody
REMOVE a:Link:Pipe:Pump:Valve:Abstraction:Service:Drain:Sewer:Discharge:Reach
SET a = row.values
SET a:$(row.labels)"""

RETIRE_ASSETS: Final = """
UNWIND $rows AS row
MATCH (a:Asset {network: row.network, ref: row.ref})
USING INDEX a:Asset(network, ref)
DETACH DELETE a"""

# By way of the node at the start as it still is: a lookup of the relationship by its own index was
# planned as a scan, and took 90 s instead of 0.5 s for 10,000 rows.
DISCONNECT: Final = """
UNWIND $rows AS row
MATCH (a:Asset {network: row.network, ref: row.ref})
USING INDEX a:Asset(network, ref)
MATCH (s:Asset {network: row.network, ref: a.start_ref})
USING INDEX s:Asset(network, ref)
MATCH (s)-[c:CONNECTS]->()
WHERE c.via = row.ref
DELETE c"""

NAMING_AS_START: Final = """
UNWIND $rows AS row
MATCH (a:Asset {network: row.network, start_ref: row.ref})
USING INDEX a:Asset(network, start_ref)
RETURN a.network AS network, a.ref AS ref"""

NAMING_AS_END: Final = """
UNWIND $rows AS row
MATCH (a:Asset {network: row.network, end_ref: row.ref})
USING INDEX a:Asset(network, end_ref)
RETURN a.network AS network, a.ref AS ref"""

CONNECT_LINKS: Final = """
UNWIND $rows AS row
MATCH (l:Asset {network: row.network, ref: row.ref})
USING INDEX l:Asset(network, ref)
WHERE l.is_link
MATCH (s:Asset {network: row.network, ref: l.start_ref})
USING INDEX s:Asset(network, ref)
WHERE NOT s.is_link
MATCH (e:Asset {network: row.network, ref: l.end_ref})
USING INDEX e:Asset(network, ref)
WHERE NOT e.is_link
CREATE (s)-[c:CONNECTS {network: row.network, via: row.ref}]->(e)
SET c.is_open = l.is_open, c.is_oneway = l.is_oneway, c.from_model = l.from_model,
    c.length_m = l.length_m"""

CONNECT_USERS: Final = """
UNWIND $rows AS row
MATCH (u:Asset {network: row.network, ref: row.ref})
USING INDEX u:Asset(network, ref)
WHERE NOT u.is_link
MATCH (s:Asset {network: row.network, ref: u.start_ref})
USING INDEX s:Asset(network, ref)
WHERE NOT s.is_link
CREATE (s)-[c:CONNECTS {network: row.network, via: row.ref}]->(u)
SET c.is_open = true, c.is_oneway = true, c.from_model = false"""

PUT_HAPPENINGS: Final = """
UNWIND $rows AS row
MERGE (h:Happening {height: row.values.height, leaf_index: row.values.leaf_index})
SET h = row.values
SET h:$(row.labels)
WITH h, row
UNWIND row.concerns AS ref
MATCH (a:Asset {network: row.values.network, ref: ref})
USING INDEX a:Asset(network, ref)
MERGE (h)-[:CONCERNS]->(a)"""

PUT_VERSIONS: Final = """
UNWIND $rows AS row
MERGE (t:Topology {network: row.network})
SET t = row"""

# What is asked

NETWORKS: Final = """
MATCH (n:Network)
RETURN n {.*} AS row ORDER BY n.name"""

ASSET: Final = f"""
MATCH (a:Asset {{network: $network, ref: $ref}})
RETURN a {ASSET_VALUES} AS row"""

ASSETS: Final = f"""
MATCH (a:Asset)
USING INDEX a:Asset(network, ref)
WHERE a.network = $network AND a.ref > $after
RETURN a {ASSET_VALUES} AS row ORDER BY a.ref LIMIT $limit"""

ASSETS_OF_KINDS: Final = f"""
MATCH (a:Asset)
USING INDEX a:Asset(network, kind, ref)
WHERE a.network = $network AND a.kind IN $kinds AND a.ref > $after
RETURN a {ASSET_VALUES} AS row ORDER BY a.ref LIMIT $limit"""

ASSETS_NAMED: Final = f"""
UNWIND $refs AS ref
MATCH (a:Asset {{network: $network, ref: ref}})
USING INDEX a:Asset(network, ref)
RETURN a {ASSET_VALUES} AS row ORDER BY a.ref"""

COUNT: Final = """
MATCH (a:Asset {network: $network})
RETURN count(a) AS n"""

COUNT_OF_KINDS: Final = """
MATCH (a:Asset {network: $network})
WHERE a.kind IN $kinds
RETURN count(a) AS n"""

LINKS_AT: Final = f"""
CALL () {{
  MATCH (a:Asset {{network: $network, start_ref: $ref}})
  USING INDEX a:Asset(network, start_ref)
  WHERE a.is_link
  RETURN a
  UNION
  MATCH (a:Asset {{network: $network, end_ref: $ref}})
  USING INDEX a:Asset(network, end_ref)
  WHERE a.is_link
  RETURN a
}}
RETURN a {ASSET_VALUES} AS row ORDER BY a.ref"""

HAPPENINGS: Final = """
MATCH (h:Happening)
WHERE h.network = $network AND (size($kinds) = 0 OR h.kind IN $kinds)
  AND (h.height > $height OR (h.height = $height AND h.leaf_index > $index))
RETURN h {.height, .leaf_index, .network, .kind, .subject, .at_ns, .concerns} AS row
ORDER BY h.height, h.leaf_index LIMIT $limit"""

VERSION: Final = """
MATCH (t:Topology {network: $network})
RETURN t.version AS n"""

NODES: Final = """
MATCH (a:Asset {network: $network})
WHERE NOT a.is_link
RETURN collect(a.ref) AS refs"""

CONNECTIONS: Final = """
MATCH (s:Asset {network: $network})-[c:CONNECTS]->(e:Asset)
RETURN collect(c.via) AS via, collect(s.ref) AS start_ref, collect(e.ref) AS end_ref,
       collect(c.is_open) AS is_open, collect(c.is_oneway) AS is_oneway,
       collect(c.from_model) AS from_model"""

# Schema

MIGRATION_CONSTRAINT: Final = """
CREATE CONSTRAINT migration_version IF NOT EXISTS
FOR (m:Migration) REQUIRE m.version IS UNIQUE"""

# Version 0 stands for nothing: it is the lock that one migration holds at a time.
LOCK_MIGRATIONS: Final = "MERGE (m:Migration {version: 0}) SET m.name = 'lock', m.checksum = ''"

APPLIED_MIGRATIONS: Final = """
MATCH (m:Migration)
WHERE m.version > 0
RETURN m.version AS version, m.checksum AS checksum"""

PUT_MIGRATION: Final = """
MERGE (m:Migration {version: $version})
SET m.name = $name, m.checksum = $checksum"""
