"""Credentials in a seed, by the detectors of detect-secrets that know a provider's format.

Its other detectors are left out: entropy and names such as `password = "..."` find test data and documentation in
library code, and assignments of IBM's and Artifactory's services take most of the time and find nothing. Nothing is
sent anywhere to find out whether a secret is valid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from selfcodealign.curation.rules.code import Code, Problem

#: module.Class of the detectors.
_DETECTORS: str = """
    aws.AWSKeyDetector azure_storage_key.AzureStorageKeyDetector basic_auth.BasicAuthDetector
    discord.DiscordBotTokenDetector github_token.GitHubTokenDetector gitlab_token.GitLabTokenDetector
    jwt.JwtTokenDetector mailchimp.MailchimpDetector npm.NpmDetector openai.OpenAIDetector
    private_key.PrivateKeyDetector pypi_token.PypiTokenDetector sendgrid.SendGridDetector slack.SlackDetector
    square_oauth.SquareOAuthDetector stripe.StripeDetector telegram_token.TelegramBotTokenDetector
    twilio.TwilioKeyDetector
"""
#: Values in the place of a password that stand for one: `user:password@host`, `user:<token>@host`, `user:***@host`.
_STAND_IN = re.compile(r"(?i)pw|pwd|pass|passwd|password|passw0rd|secret|token|(?:api_?)?key|[a-z]|x+|\W+|[<%$].*")


def find_secret(code: Code) -> Problem | None:
    """The first credential in the code."""
    for detector in _detectors():
        for secret in detector.analyze_string(code.text):
            basic = detector.secret_type.startswith("Basic Auth")
            if not secret or (basic and _STAND_IN.fullmatch(secret)):
                continue
            return Problem("secret", code.line_of(max(0, code.text.find(secret))), detector.secret_type)
    return None


@cache
def _detectors() -> Sequence[Any]:
    found = []
    for name in _DETECTORS.split():
        module, _, kind = name.partition(".")
        found.append(getattr(import_module(f"detect_secrets.plugins.{module}"), kind)())
    return found
