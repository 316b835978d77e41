"""
The routes of the daemon, all of them, and what they are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field
from klein import Klein
from twisted.internet.interfaces import IReactorTime

from claudeproxy.config import ClaudeConfig, ServerConfig
from claudeproxy.core.catalog import Catalog
from claudeproxy.core.proxies import TrustedProxies
from claudeproxy.core.routing import Router
from claudeproxy.core.size import ConversationSize
from claudeproxy.interfaces import IChatBackend, IImageFetcher, IKeyStore, IReadiness, IRelay
from claudeproxy.ops.admission import Admission
from claudeproxy.ops.drain import Drain
from claudeproxy.ops.time_limits import TimeLimits
from claudeproxy.store.answers import AnswerStore
from claudeproxy.web.body_budget import BodyBudget
from claudeproxy.web.chat import ChatRoute
from claudeproxy.web.cors import CrossOrigin
from claudeproxy.web.docs import DocsRoute
from claudeproxy.web.health import HealthRoute
from claudeproxy.web.idempotency import Idempotency
from claudeproxy.web.linked import LinkedPictures
from claudeproxy.web.models import ModelsRoute
from claudeproxy.web.passthrough import Passthrough
from claudeproxy.web.request import ProxyRequest
from claudeproxy.web.routes import Routes
from claudeproxy.web.site import ProxySite

__all__ = ["ProxyApp", "make_site"]


@define(eq=False, kw_only=True)
class ProxyApp:
    """
    The web side, composed of its collaborators.
    """

    keys: IKeyStore
    admission: Admission
    chat_backend: IChatBackend
    relays: Mapping[str, IRelay]
    """The upstreams by name, in their order; ``openai`` is always among them, and last."""
    catalog: Catalog
    router: Router
    server: ServerConfig
    claude: ClaudeConfig
    drain: Drain
    clock: IReactorTime
    image_fetcher: IImageFetcher | None = None
    """Fetches pictures that requests link to; without it they are refused."""
    readiness: Sequence[IReadiness] = ()
    """What else can make the daemon unready."""
    cross_origin: CrossOrigin = field(init=False)
    routes: Routes = field(init=False)
    chat: ChatRoute = field(init=False)
    answers: AnswerStore = field(init=False)
    """What is kept for requests that are repeated under their ``Idempotency-Key``."""

    def __attrs_post_init__(self) -> None:
        self.cross_origin = CrossOrigin(self.server.cors_allowed_origins)
        self.routes = Routes(self.keys, self.admission, self.drain, self.cross_origin)
        keepalive = self.server.keepalive_interval
        limits = TimeLimits(self.claude.request_timeout, self.claude.request_total_timeout)
        passthrough = Passthrough(self.relays, self.router, self.drain, self.clock, keepalive)
        self.chat = ChatRoute(
            self.chat_backend,
            passthrough,
            self.catalog,
            self.router,
            self.drain,
            self.clock,
            keepalive,
            limits,
            ConversationSize(self.server.max_messages, self.server.max_characters),
            LinkedPictures(self.image_fetcher, self.drain, self.server.max_body_bytes),
        )
        self.chat.use(self.claude.reasoning)
        models = ModelsRoute(self.relays, self.catalog, self.router, self.drain, self.clock.seconds())
        health = HealthRoute(self.chat_backend, self.relays, self.claude, (self.drain, *self.readiness))
        docs = DocsRoute()
        self.answers = AnswerStore(self.clock, self.server.idempotency_ttl, self.server.idempotency_max_bytes)
        idempotency = Idempotency(self.answers, self.drain, self.clock, keepalive, limits)

        # Paths are below /v1, which a client may write or leave out.
        self.routes.public("/", GET=health.root)
        self.routes.public("/health", GET=health.health)
        self.routes.public("/health/live", GET=health.live)
        self.routes.public("/health/ready", GET=health.ready)
        self.routes.public("/openapi.json", GET=docs.openapi)
        self.routes.public("/docs", GET=docs.page)
        # What an upstream may have beside these: GET /chat/completions (stored ones), DELETE /models/<fine-tuned>.
        others, where = passthrough.any_path, passthrough.can_relay
        create = idempotency.guard("/chat/completions", self.chat.create)
        self.routes.authorized("/chat/completions", others, where, POST=create)
        self.routes.authorized("/models", others, where, GET=models.index)
        self.routes.authorized("/models/<path:model>", others, where, GET=models.one)
        self.routes.authorized("/<path:rest>", passthrough.any_path, precondition=passthrough.check_path)

    @property
    def klein(self) -> Klein:
        """
        Klein's side of it.
        """
        return self.routes.klein


def make_site(app: ProxyApp, access_log: Callable[[ProxyRequest], None] | None = None) -> ProxySite:
    """
    Return the factory to listen with.

    :param access_log: called with each request when it is over.
    """
    return ProxySite(
        app.klein.resource(),
        clock=app.clock,
        drain=app.drain,
        cross_origin=app.cross_origin,
        max_body_bytes=app.server.max_body_bytes,
        header_timeout=app.server.client_header_timeout,
        body_timeout=app.server.client_body_timeout,
        proxies=TrustedProxies(app.server.trusted_proxies),
        bodies=BodyBudget(app.server.max_body_bytes_in_flight, app.server.max_body_bytes_per_address),
        admit=app.routes.admit,
        access_log=access_log,
    )
