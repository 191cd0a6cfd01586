"""Turns one request into a complete AWS KMS multi-Region key set.

Handlers call the step modules (`claim`, `primary_key`, `key_settings`, `replica_key`, `key_set`,
`roll_back`, `outcome`). Those use the rules (`request`, `plan`, `key_policy`, `key_specs`) and one
adapter for each AWS service (`kms`, `records`, `executions`, `event_bus`).
"""
