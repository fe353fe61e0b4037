"""Every setting of the gateway, read from the environment once."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.deliveries.mail import smtp_url_fault
from app.domain.currencies import CURRENCIES
from app.web.cors import is_origin

SQLITE = "sqlite+aiosqlite:"
POSTGRESQL = "postgresql+asyncpg:"


class Settings(BaseSettings):
    """What can be set, each as BALANCE_GATEWAY_ and its name. Lists are JSON."""

    model_config = SettingsConfigDict(env_prefix="BALANCE_GATEWAY_", extra="ignore")

    database_url: str = "sqlite+aiosqlite:///balance-gateway.db"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    currency: str = "EUR"
    balance_types: list[str] | None = None
    future_days_max: Annotated[int, Field(ge=0, le=36600)] = 3660
    batch_max: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    page_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    series_max: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    body_max: Annotated[int, Field(ge=1_000)] = 8_000_000
    connections: Annotated[int, Field(ge=2, le=1_000)] = 16
    statement_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    runner: bool = True
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    event_source: Annotated[str, Field(min_length=1, max_length=255)] = "balance-gateway"
    webhooks_allow_private: bool = False
    smtp_url: str | None = None
    smtp_sender: str = "balance-gateway@localhost"
    subscription_backlog: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    graphiql: bool = True
    production: bool = False
    cors_origins: list[str] = []
    access_log: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if not url.startswith((SQLITE, POSTGRESQL)):
            raise ValueError(f"begin it with {SQLITE}/// and a file, or with {POSTGRESQL}//")
        return url

    @field_validator("smtp_url")
    @classmethod
    def _known_server(cls, url: str | None) -> str | None:
        fault = None if url is None else smtp_url_fault(url)
        if fault is not None:
            raise ValueError(fault)
        return url

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, origins: list[str]) -> list[str]:
        wrong = [origin for origin in origins if not is_origin(origin)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no origin such as https://app.example, in lower case, without a path")
        return origins

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, code: str) -> str:
        if code not in CURRENCIES:
            raise ValueError("give an active ISO 4217 code")
        return code
