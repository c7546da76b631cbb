package northbound

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

func (s *Server) projects() *resource[access.Project, access.ProjectStatus] {
	st := s.deps.Store
	return &resource[access.Project, access.ProjectStatus]{
		server: s, name: store.CollectionProjects, singular: "project", objects: st.Projects(),
		used: true, unplanned: true,
		complete: func(_ *scope, _ string, p, _ *access.Project) error {
			if p.Quotas == nil {
				p.Quotas = access.Quotas{}
			}
			return p.Validate()
		},
		observed: func(o *store.Project) access.ProjectStatus { return o.Status },
		// The project default is there from the first time that anybody looks.
		prepare: func(ctx context.Context) error {
			_, _, err := st.Projects().Create(ctx, topology.DefaultProject, access.Project{Quotas: access.Quotas{}})
			var exists *store.ExistsError
			if errors.As(err, &exists) {
				return nil
			}
			return err
		},
		mayDelete: s.mayDeleteProject,
		rehearse: func(ctx context.Context, c Change) error {
			if c.Op != OpDelete {
				return nil
			}
			users, err := st.Users(ctx, c.Collection, c.ID)
			if err != nil {
				return err
			}
			return inUse(c.Collection, c.ID, users)
		},
	}
}

// mayDeleteProject: what is shared with a project by name would be shared with the next one of that name.
func (s *Server) mayDeleteProject(ctx context.Context, o *store.Project) error {
	id := o.ID
	if id == topology.DefaultProject {
		return conflict("", "the project %s is always there", id)
	}
	var shared []string
	err := errors.Join(
		s.deps.Store.Ports().Each(ctx, func(p *store.Port) bool {
			if slices.Contains(p.Spec.SharedWith, id) {
				shared = append(shared, p.ID)
			}
			return true
		}),
		s.deps.Store.Pools().Each(ctx, func(p *store.Pool) bool {
			if slices.Contains(p.Spec.SharedWith, id) {
				shared = append(shared, p.ID)
			}
			return true
		}))
	if err != nil || len(shared) == 0 {
		return err
	}
	slices.Sort(shared)
	p := problem(http.StatusConflict, "", "project %q has things shared with it: take it off their shared_with first", id)
	p.Users = shared[:min(len(shared), maxUsers)]
	return p
}

// roomFor finds the errors of a creation that are about its project.
func (s *Server) roomFor(ctx context.Context, collection, project string) error {
	if project != topology.DefaultProject {
		if _, err := s.deps.Store.Projects().Get(ctx, project); errors.Is(err, store.ErrNotFound) {
			return noProject(project)
		}
	}
	return s.deps.Store.CheckQuota(ctx, collection, project)
}
