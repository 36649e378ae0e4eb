"""Turntable's data: one DynamoDB table, its items and its access patterns.

It does not depend on Flask, OpenAI or the application, only on boto3 and PynamoDB.
"""
