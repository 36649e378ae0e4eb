"""The bodies of requests and answers under `/v1`."""
