package northbound

import (
	"math"

	"github.com/flowtap/flowtap/access"
)

var (
	timeSchema  = doc{"type": "string", "format": "date-time"}
	sharedField = field{name: "shared_with", schema: described(listOf(textSchema("")), "Projects whose taps may lead here; * is all. The provider's to say.")}
)

func projectFields() []field {
	quotas := doc{}
	for _, name := range access.Counted() {
		quotas[name] = numberSchema(0, math.MaxInt32)
	}
	return []field{
		{name: "quotas", out: true, schema: described(closed(quotas), "How many of each there may be; left out or 0 is the usual number, of which the project default has none.")},
		{name: "labels", schema: labelsSchema},
	}
}

func tokenFields() []field {
	roles := []string{}
	for _, r := range access.Roles() {
		roles = append(roles, string(r))
	}
	return []field{
		{name: "name", in: true, out: true, schema: textSchema("For people.")},
		{name: "role", in: true, out: true, schema: textSchema("", roles...)},
		{name: "project", schema: textSchema("Left out for a provider.")},
		{name: "expires_at", schema: timeSchema},
		{name: "certificate", schema: textSchema("The common name of the client certificates that have the role; left out where a secret has it.")},
	}
}

// withSecret adds what is of tokens alone: a lifetime in requests, the secret in one answer.
func withSecret(d doc) doc {
	wanted := d["TokenWanted"].(doc)["properties"].(doc)
	wanted["expires_in"] = described(numberSchema(1, maxExpiry), "Seconds.")
	token := d["Token"].(doc)
	properties := doc{"secret": textSchema("Shown once.")}
	for k, v := range token["properties"].(doc) {
		properties[k] = v
	}
	d["TokenWithSecret"] = closed(properties, token["required"].([]string)...)
	return d
}

func auditSchemas() doc {
	text := textSchema("")
	wanted := doc{"type": "object", "nullable": true}
	record := closed(doc{
		"id": text, "time": timeSchema, "principal": text, "token": text, "from": text, "request": text,
		"verb":       textSchema("", string(access.Create), string(access.Replace), string(access.Delete)),
		"collection": text, "project": text, "object": text, "before": wanted, "after": wanted, "revision": text,
	}, "id", "time", "principal", "from", "request", "verb", "collection", "object", "before", "after", "revision")
	return doc{"AuditRecord": record, "AuditList": closed(doc{"items": listOf(schemaRef("AuditRecord")), "next": text}, "items", "next")}
}
