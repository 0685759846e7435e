"""What people see and ask: GraphQL, the command line, reports, notebooks."""
