package access_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/access"
)

func TestRolesAreInOrder(t *testing.T) {
	roles := append([]access.Role{access.Nobody}, access.Roles()...)
	for i, r := range roles {
		for j, as := range roles {
			require.Equal(t, i >= j, r.Least(as), "%q as much as %q", r, as)
		}
	}
	require.False(t, access.Role("king").Least(access.Reader), "what is no role is none")
	require.False(t, access.Role("king").Valid())
}

func TestDecide(t *testing.T) {
	member, ok := access.RuleOf("POST", "/v1/taps")
	require.True(t, ok)
	_, ok = access.RuleOf("POST", "/v1/secrets")
	require.False(t, ok)
	blue := access.Principal{Roles: map[string]access.Role{"blue": access.Member, "red": access.Reader}}
	for _, c := range []struct {
		p       access.Principal
		project string
		want    access.Decision
	}{
		{access.Principal{}, "blue", access.Login},
		{blue, "blue", access.Allow},
		{blue, "red", access.Forbid},
		{blue, "green", access.NotThere},
		{access.Principal{Roles: map[string]access.Role{"red": access.Reader}}, "green", access.Forbid},
		{access.Principal{Provider: true}, "green", access.Allow},
	} {
		require.Equal(t, c.want, member.Decide(c.p, c.project), "%v in %s", c.p, c.project)
	}
}

func TestSecretsAndExpiry(t *testing.T) {
	secret := access.Secret([access.SecretBytes]byte{1})
	require.True(t, access.IsSecret(secret))
	for _, bad := range []string{"", "ft_", secret[3:], secret + "A", secret[:len(secret)-1]} {
		require.False(t, access.IsSecret(bad), bad)
	}
	now := time.Unix(1000, 0)
	ends := access.Token{Role: access.Member, Project: "blue", ExpiresAt: now}
	require.True(t, ends.Expired(now))
	require.False(t, ends.Expired(now.Add(-1)))
	require.Equal(t, access.Nobody, access.PrincipalOf(now, "x", []string{"a"}, []access.Token{ends}).Most())
	require.Equal(t, access.Member, access.PrincipalOf(now.Add(-1), "x", []string{"a"}, []access.Token{ends}).In("blue"))
}
