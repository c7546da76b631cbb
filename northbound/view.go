package northbound

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// projectOf gives the project of an object; empty where it is of none.
func (res *resource[S, T]) projectOf(o *store.Object[S, T]) string {
	if res.inProject != nil {
		return res.inProject(o)
	}
	return topology.ProjectOf(o.ID)
}

// key gives the inside id of what a path names. What cannot be an id names nothing.
func (res *resource[S, T]) key(sc *scope, id string) (string, error) {
	if topology.ValidID(id) != nil || sc.hidden {
		return "", res.missing(id)
	}
	if !res.owned || res.inProject != nil {
		return id, nil
	}
	if sc.project == "" {
		return "", badRequest("project", "name the one project that the %s is of", res.singular)
	}
	return topology.Qualify(sc.project, id), nil
}

// view is an object as the request's principal sees it: its own id, the names of others as its project writes
// them, and of the status what is no business of the provider alone. Whatever is shown, and whatever is
// filtered by, comes from here.
func (res *resource[S, T]) view(sc *scope, o *store.Object[S, T]) *store.Object[S, T] {
	v := *o
	v.Status = res.observed(o)
	if !res.owned {
		return &v
	}
	project := res.projectOf(o)
	_, v.ID = topology.SplitID(o.ID)
	if res.names != nil {
		_ = res.names(&v.Spec, func(_ reference, id *string) error { // which fails only where this does
			if *id != "" {
				*id = topology.Relative(project, *id)
			}
			return nil
		})
	}
	if res.status != nil {
		res.status(project, sc.principal.Provider, &v)
	}
	return &v
}

func networkStatus(_ string, provider bool, n *store.Network) {
	if !provider {
		n.Status.Label = 0 // labels are numbered: they count the networks of all
	}
}

func portStatus(_ string, provider bool, p *store.Port) {
	if !provider {
		s := &p.Status
		s.Node, s.OFPort, s.Attachments = "", 0, nil
	}
}

func poolStatus(project string, _ bool, p *store.Pool) {
	slices := make(map[string]int, len(p.Status.Slices))
	for id, n := range p.Status.Slices {
		slices[topology.Relative(project, id)] = n
	}
	p.Status.Slices = slices
}

func tapStatus(project string, provider bool, t *store.Tap) {
	s := &t.Status
	if !provider {
		s.SrcNode, s.DstNode, s.Nodes = "", "", nil
		s.Reason = tenantReason(project, t.Spec, s.Reason)
	}
	s.Reason = relativeText(project, s.Reason)
}

// The reasons that tell a project about its own ports, and about the monitors that it named. All others are about nodes,
// tunnels, or what others use.
var (
	fromNode    = regexp.MustCompile(` from node [a-z0-9-]+`)
	ownReasons  = regexp.MustCompile(`^(port|pool|monitor|return port) ([a-z0-9:-]+)('s port)? (is on no switch|is down|is gone|port is down|declares no mac|cannot be reached)`)
	reasonState = "its switches, or the ways between them, are not ready: if this lasts, ask the provider"
)

// tenantReason is a reason without what only the provider may know.
func tenantReason(project string, t flowtap.Tap, reason string) string {
	switch {
	case reason == "", reason == reasonNew:
		return reason
	case strings.HasPrefix(reason, "applying"):
		return "applying: the switches do not act on it yet"
	}
	m := ownReasons.FindStringSubmatch(reason)
	if m == nil {
		return reasonState
	}
	if m[2] != t.Dst && m[2] != t.DstPool && topology.ProjectOf(m[2]) != project {
		return fmt.Sprintf("a member of pool %s does not serve", topology.Relative(project, t.DstPool))
	}
	if project != topology.DefaultProject && topology.ProjectOf(m[2]) == topology.DefaultProject {
		reason = strings.Replace(reason, " "+m[2], " "+topology.Relative(project, m[2]), 1)
	}
	return fromNode.ReplaceAllString(reason, "")
}

// offer is what another project sees of an object that is shared with it: that it is there, and of which kind.
func offerPort(p *store.Port) {
	p.Spec = topology.Port{Kind: p.Spec.Kind, Tag: p.Spec.Tag}
	p.Status = topology.PortStatus{State: p.Status.State}
}

func offerPool(p *store.Pool) {
	p.Spec = topology.Pool{Mode: p.Spec.Mode, Members: []topology.PoolMember{}}
	p.Status = topology.PoolStatus{}
}

// offered gives an object as it is offered to a project; nil: it is not.
func (res *resource[S, T]) offeredTo(sc *scope, o *store.Object[S, T], projects ...string) *store.Object[S, T] {
	if res.offer == nil {
		return nil
	}
	for _, p := range projects {
		if res.shared(&o.Spec).With(p) && res.projectOf(o) != p {
			v := *o
			v.Status = res.observed(o)
			_, v.ID = topology.SplitID(o.ID)
			res.offer(&v)
			return &v
		}
	}
	return nil
}

// rolesIn gives the projects where somebody has a role.
func rolesIn(p access.Principal) (projects []string) {
	for project := range p.Roles {
		projects = append(projects, project)
	}
	return projects
}
