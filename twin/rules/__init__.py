"""Pure, versioned rules over columns of readings, and the service that records their verdicts."""
