"""The one door to WNTR and EPANET. Nothing outside this package imports them.

`reading` turns a file into arrays (WNTR). `session` opens one in EPANET's own library, in process
and in SI; on it stand `toolkit` (snapshots at any boundary), `replay` (what controls did) and
`differences` (what a small change does, by solving on both sides of it). `scenario` runs a changed
network over days.
"""
