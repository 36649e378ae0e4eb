"""Turntable's data: one DynamoDB table, its items and its access patterns.

Nothing in here knows of Flask, of OpenAI or of the application: it needs boto3 and PynamoDB alone.
"""
