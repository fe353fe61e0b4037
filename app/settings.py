"""Every setting of the gateway, read from the environment once."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
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
    hosts: list[str] | None = None
    jwt_key: SecretStr | None = None
    jwt_jwks_allow_http: bool = False
    jwt_jwks_url: str | None = None
    jwt_jwks_cache_seconds: Annotated[float, Field(ge=1, le=3_600)] = 300.0
    jwt_jwks_cool_down_seconds: Annotated[float, Field(ge=0.1, le=300)] = 10.0
    jwt_algorithms: list[str] | None = None
    jwt_issuer: Annotated[str | None, Field(min_length=1, max_length=2_048)] = None
    jwt_audience: Annotated[str | None, Field(min_length=1, max_length=2_048)] = None
    jwt_type: Annotated[str | None, Field(min_length=1, max_length=100)] = None
    jwt_leeway_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    jwt_age_max_seconds: Annotated[float, Field(ge=60, le=31_536_000)] = 86_400.0
    currency: str = "EUR"
    balance_types: list[str] | None = None
    future_days_max: Annotated[int, Field(ge=0, le=36600)] = 3660
    batch_max: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    page_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    series_max: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    body_max: Annotated[int, Field(ge=1_000)] = 8_000_000
    bodies_max: Annotated[int, Field(ge=1_000)] = 64_000_000
    body_seconds: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    json_depth_max: Annotated[int, Field(ge=4, le=200)] = 32
    json_number_max: Annotated[int, Field(ge=20, le=4_000)] = 1_000
    document_chars_max: Annotated[int, Field(ge=100)] = 20_000
    document_tokens_max: Annotated[int, Field(ge=10, le=100_000)] = 2_000
    depth_max: Annotated[int, Field(ge=1, le=100)] = 12
    aliases_max: Annotated[int, Field(ge=0)] = 30
    root_fields_max: Annotated[int, Field(ge=1)] = 20
    mutations_max: Annotated[int, Field(ge=1)] = 5
    directives_max: Annotated[int, Field(ge=0)] = 50
    fragments_max: Annotated[int, Field(ge=0, le=10_000)] = 500
    fields_max: Annotated[int, Field(ge=1, le=50_000)] = 2_000
    cost_max: Annotated[int, Field(ge=1)] = 10_000
    requests_per_minute: Annotated[int, Field(ge=0)] | None = None
    cost_per_minute: Annotated[int, Field(ge=0)] | None = None
    request_seconds: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    stop_seconds: Annotated[int, Field(ge=0, le=3_600)] = 12
    connections_max: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    head_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    write_seconds: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    socket_message_max: Annotated[int, Field(ge=1_000)] = 1_000_000
    socket_init_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    socket_operations_max: Annotated[int, Field(ge=1)] = 100
    connections: Annotated[int, Field(ge=2, le=1_000)] = 16
    statement_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    allow_async_commit: bool = False
    runner: bool = True
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    event_source: Annotated[str, Field(min_length=1, max_length=255)] = "balance-gateway"
    webhooks_allow_private: bool = False
    smtp_url: str | None = None
    smtp_sender: str = "balance-gateway@localhost"
    subscription_backlog: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    graphiql: bool = True
    plans: bool = True
    show_plans: bool = False
    production: bool = False
    cors_origins: list[str] = []
    access_log: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def has_key(self) -> bool:
        """Whether callers must bring a token."""
        return self.jwt_key is not None or self.jwt_jwks_url is not None

    @field_validator("hosts")
    @classmethod
    def _lower_hosts(cls, hosts: list[str] | None) -> list[str] | None:
        if hosts is not None and not all(host.isascii() and host for host in hosts):
            raise ValueError("give names without a port, in ASCII")
        return None if hosts is None else [host.lower() for host in hosts]

    @field_validator("jwt_key")
    @classmethod
    def _usable_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            from app.web.keys import key_from  # noqa: PLC0415 - a command pays for what it uses.

            key_from(key.get_secret_value())
        return key

    @field_validator("jwt_jwks_url")
    @classmethod
    def _safe_address(cls, url: str | None, info: ValidationInfo) -> str | None:
        from app.web.jwks import jwks_url_fault  # noqa: PLC0415 - as above.

        if url is None:
            return None
        if info.data.get("jwt_key") is not None:
            raise ValueError("a key is set too; give one of the two")
        fault = jwks_url_fault(url, allow_http=info.data.get("jwt_jwks_allow_http", False))
        if fault is not None:
            raise ValueError(fault)
        return url

    @field_validator("jwt_algorithms")
    @classmethod
    def _fitting_algorithms(cls, names: list[str] | None, info: ValidationInfo) -> list[str] | None:
        from app.web.keys import PUBLIC_ALGORITHMS, key_from  # noqa: PLC0415 - as above.

        key = info.data.get("jwt_key")
        fitting = PUBLIC_ALGORITHMS if key is None else key_from(key.get_secret_value()).algorithms
        if names is not None and (not names or not fitting.issuperset(names)):
            raise ValueError(f"give some of {', '.join(sorted(fitting))}; others do not go with the key")
        return names

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
