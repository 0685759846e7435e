// Whose graph this is, and how far it has been told. One node at most.
CREATE CONSTRAINT mark_one IF NOT EXISTS FOR (m:Mark) REQUIRE m.one IS UNIQUE;
CREATE CONSTRAINT network_name IF NOT EXISTS FOR (n:Network) REQUIRE n.name IS UNIQUE;
// A network's assets may be told of before the network itself.
CREATE CONSTRAINT topology_network IF NOT EXISTS FOR (t:Topology) REQUIRE t.network IS UNIQUE;
CREATE CONSTRAINT asset_ref IF NOT EXISTS FOR (a:Asset) REQUIRE (a.network, a.ref) IS UNIQUE;
CREATE CONSTRAINT happening_evidence IF NOT EXISTS FOR (h:Happening) REQUIRE (h.height, h.leaf_index) IS UNIQUE;
// Derived: one for each link that has both its ends (via is the link), and one for each user whose
// junction is recorded (via is the user).
CREATE CONSTRAINT connects_via IF NOT EXISTS FOR ()-[c:CONNECTS]-() REQUIRE (c.network, c.via) IS UNIQUE;
CREATE INDEX asset_by_kind IF NOT EXISTS FOR (a:Asset) ON (a.network, a.kind, a.ref);
// The start of a user is the junction that serves it.
CREATE INDEX asset_by_start IF NOT EXISTS FOR (a:Asset) ON (a.network, a.start_ref);
CREATE INDEX asset_by_end IF NOT EXISTS FOR (a:Asset) ON (a.network, a.end_ref);
CREATE INDEX happening_by_kind IF NOT EXISTS FOR (h:Happening) ON (h.network, h.kind);
