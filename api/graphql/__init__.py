"""The front door: one GraphQL schema, a module per subject, over the services of `twin`."""
