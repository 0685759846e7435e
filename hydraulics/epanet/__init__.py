"""The one door to WNTR and EPANET. Nothing outside this package imports them.

`reading` turns a file into arrays (WNTR), `toolkit` solves in process (EPANET's own library),
`scenario` runs a changed network over days.
"""
