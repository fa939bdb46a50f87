//! The kinds of objects that are imported, and those that keygate does not need.

/// Kinds that configure the cluster, which keygate does not need.
pub(super) const CLUSTER_KINDS: [&str; 21] = [
    "AgentgatewayParameters",
    "AuthServer",
    "Cluster",
    "ConfigMap",
    "Deployment",
    "EnterpriseAgentgatewayParameters",
    "ExtAuthServer",
    "Gateway",
    "GatewayClass",
    "GatewayParameters",
    "HTTPListenerPolicy",
    "HorizontalPodAutoscaler",
    "ListenerSet",
    "Namespace",
    "PodDisruptionBudget",
    "ReferenceGrant",
    "Service",
    "ServiceAccount",
    "VirtualGateway",
    "Workspace",
    "XListenerSet",
];

/// The kind whose objects refer to an `AuthConfig`.
pub(super) const ENTERPRISE_POLICY: &str = "EnterpriseAgentgatewayPolicy";

/// The kinds of backends that policies apply to.
pub(super) const BACKENDS: [&str; 2] = ["AgentgatewayBackend", "EnterpriseAgentgatewayBackend"];

/// The kinds that are imported.
pub(super) const KNOWN: [&str; 17] = [
    "Secret",
    "Upstream",
    "Backend",
    BACKENDS[0],
    BACKENDS[1],
    "ExternalService",
    "HTTPRoute",
    "RouteTable",
    "ExtAuthPolicy",
    "TransformationPolicy",
    "TrafficPolicy",
    "AgentgatewayPolicy",
    ENTERPRISE_POLICY,
    "RateLimitConfig",
    "RateLimitPolicy",
    "RateLimitServerConfig",
    "RateLimitClientConfig",
];
