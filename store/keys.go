package store

import (
	"net/url"
	"strings"

	"github.com/flowtap/flowtap/topology"
)

// The keys, all under one prefix:
//
//	/flowtap/v1/schema                                         version of all that follows
//	/flowtap/v1/objects/<collection>/<id>                      what the user wants
//	/flowtap/v1/status/<collection>/<id>                       what the controller observed
//	/flowtap/v1/refs/<collection>/<id>/<user collection>/<id>  who refers to the object
//	/flowtap/v1/unique/<name>/<value>                          id of the owner of the value
//	/flowtap/v1/siblings/<src>                                 put by every change of the taps of a port
//	/flowtap/v1/labels/<key>                                   a tunnel label, or for a key vlan/<network> a VLAN, decimal
//	/flowtap/v1/plans/<policy>/<n>                             what a part of a change that is under way has changed: Plan
//	/flowtap/v1/counters/<name>                                next free number, decimal
//	/flowtap/v1/audit/<time>-<request>                         one change by a user: access.Record
//	/flowtap/v1/first-token                                    there has been a first token of a provider
//
// An id is that of topology.Qualify, so it has no slash.
//
// Those of package replica are beside them: replicas/, masters/, leader and cluster/.
const (
	prefix        = "/flowtap/v1/"
	schemaKey     = prefix + "schema"
	objectsPrefix = prefix + "objects/"
	statusPrefix  = prefix + "status/"
	refsPrefix    = prefix + "refs/"
	uniquePrefix  = prefix + "unique/"
	guardPrefix   = prefix + "siblings/"
	labelsPrefix  = prefix + "labels/"
	counterPrefix = prefix + "counters/"
	auditPrefix   = prefix + "audit/"
	firstTokenKey = prefix + "first-token"
)

// Collections by name, in the order in which a Reset batch lists them: what is referred to comes
// before what refers to it.
const (
	CollectionProjects = "projects"
	CollectionTokens   = "tokens"
	CollectionNodes    = "nodes"
	CollectionNetworks = "networks"
	CollectionPorts    = "ports"
	CollectionPools    = "pools"
	CollectionTaps     = "taps"
	CollectionPolicies = "policies"
	CollectionLabels   = "labels"
)

func singular(collection string) string {
	if collection == CollectionPolicies {
		return "policy"
	}
	return strings.TrimSuffix(collection, "s")
}

func objectKey(collection, id string) string { return objectsPrefix + collection + "/" + id }
func statusKey(collection, id string) string { return statusPrefix + collection + "/" + id }
func guardKey(src string) string             { return guardPrefix + src }
func labelKey(key string) string             { return labelsPrefix + key }
func counterKey(name string) string          { return counterPrefix + name }

// refsOf is the prefix of everybody who refers to an object.
func refsOf(collection, id string) string { return refsPrefix + collection + "/" + id + "/" }

func refKey(r ref, userCollection, user string) string {
	return refsOf(r.collection, r.id) + userCollection + "/" + user
}

func uniqueKey(u unique) string { return uniquePrefix + u.name + "/" + url.PathEscape(u.value) }

// splitKey takes "<collection>/<id>" apart.
func splitKey(key, prefix string) (collection, id string, ok bool) {
	return strings.Cut(strings.TrimPrefix(key, prefix), "/")
}

// checkID keeps an id from reaching another object's keys. What else an id may look like is the
// caller's business.
func checkID(id string) error {
	if id == "" || len(id) > 255 || strings.ContainsAny(id, "/\x00") {
		return &topology.FieldError{Field: "id", Detail: "must have 1 to 255 characters and no slash"}
	}
	return nil
}
