package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// mapped is the staff, in an organisation some of whose groups have roles.
var mapped = strings.Replace(staff, "identity:\n", "identity:\n  scim: {groups: {Admins: org_admin, \"Finance & Audit\": org_auditor}}\n", 1)

// directory is an identity provider's side of an organisation.
type directory struct {
	*kit.Server
	t   *testing.T
	key string
	org string
}

// directed runs a test on a server of each storage, with a provider's key.
func directed(t *testing.T, test func(t *testing.T, d *directory)) {
	start := func(t *testing.T, o kit.Options) {
		s := kit.Start(t, o)
		org := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))["org_id"])
		_, key := newKey(t, s, "org_owner", "/api/v1/orgs/"+org+"/api-keys", `{"name":"directory","service":"directory","scim":true}`)
		test(t, &directory{s, t, key, org})
	}
	t.Run("in memory", func(t *testing.T) { start(t, kit.Options{Config: mapped + "storage: {driver: memory}\n"}) })
	t.Run("in SQLite", func(t *testing.T) { start(t, kit.Options{Config: mapped, Dir: t.TempDir()}) })
	t.Run("in Postgres", func(t *testing.T) {
		_, env := migrated(t, postgres.Shared(t))
		start(t, kit.Options{Config: mapped, Env: env, Dir: t.TempDir()})
	})
}

// send sends a provider's request, as its type, and gives the object of the answer.
func (d *directory) send(status int, method, path, body string, headers ...string) map[string]any {
	d.t.Helper()
	headers = append(headers, "Authorization", "Bearer "+d.key, "Accept", "application/scim+json")
	if body != "" {
		headers = append(headers, "Content-Type", "application/scim+json; charset=utf-8")
	}
	a, err := d.Do(d.t.Context(), method, "/scim/v2"+path, body, headers...)
	if err != nil {
		d.t.Fatal(err)
	}
	if a.Status != status {
		d.t.Fatalf("%s %s: %d, not %d: %s", method, path, a.Status, status, a.Body)
	}
	if a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
		if a.Body != "" {
			d.t.Errorf("%s %s: %d with a body: %s", method, path, a.Status, a.Body)
		}
		return map[string]any{"etag": a.Header.Get("ETag")}
	}
	if ct := a.Header.Get("Content-Type"); ct != "application/scim+json" {
		d.t.Errorf("%s %s: the type is %s", method, path, ct)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil {
		d.t.Fatalf("%s: %v", a.Body, err)
	}
	if m, ok := out["meta"].(map[string]any); ok && a.Header.Get("ETag") != "" && m["version"] != nil && m["version"] != a.Header.Get("ETag") {
		d.t.Errorf("meta.version is %v, the ETag %s", m["version"], a.Header.Get("ETag"))
	}
	return out
}

// find lists by a filter.
func (d *directory) find(what, filter string, more ...string) map[string]any {
	d.t.Helper()
	return d.send(200, http.MethodGet, "/"+what+"?filter="+url.QueryEscape(filter)+strings.Join(more, ""), "")
}

func (d *directory) patch(status int, path, operations string) map[string]any {
	d.t.Helper()
	return d.send(status, http.MethodPatch, path, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+operations+`]}`)
}

// member is somebody as administrators see them.
func (d *directory) member(id any) map[string]any {
	d.t.Helper()
	return object(d.t, call(d.t, d.Server, 200, http.MethodGet, "/api/v1/orgs/"+d.org+"/members/"+fmt.Sprint(id), "", as("org_admin")...))
}

// provision makes somebody a user.
func (d *directory) provision(subject string) string {
	d.t.Helper()
	u := d.send(201, http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+subject+`@example.com","externalId":"`+subject+`"}`)
	return fmt.Sprint(u["id"])
}

// What Okta sends when an application is connected, somebody is assigned to it,
// changed and unassigned, and a group is pushed.
func TestOktaProvisions(t *testing.T) {
	directed(t, func(t *testing.T, d *directory) {
		d.t = t
		for _, path := range []string{"/Users?startIndex=1&count=2", "/Groups?startIndex=1&count=100"} {
			if l := d.send(200, http.MethodGet, path, ""); l["totalResults"] != 0.0 || l["startIndex"] != 1.0 || l["Resources"] == nil {
				t.Errorf("an empty list is %v", l)
			}
		}
		const byName = "?filter=userName%20eq%20%22vic%40example.com%22&startIndex=1&count=100"
		if l := d.send(200, http.MethodGet, "/Users"+byName, ""); l["totalResults"] != 0.0 {
			t.Errorf("got %v", l)
		}
		const vic = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"vic@example.com","name":{"givenName":"Vic","familyName":"Tim"},` +
			`"emails":[{"primary":true,"value":"vic@example.com","type":"work"}],"displayName":"Vic Tim","locale":"en-US","externalId":"victim","groups":[],"password":"1mz050nq","active":true`
		made := d.send(201, http.MethodPost, "/Users", "{"+vic+"}")
		id := fmt.Sprint(made["id"])
		if made["password"] != nil || made["active"] != true || made["userName"] != "vic@example.com" || made["externalId"] != "victim" {
			t.Errorf("made is %v", made)
		}
		if e := d.send(409, http.MethodPost, "/Users", "{"+vic+"}"); e["scimType"] != "uniqueness" || e["status"] != "409" || fmt.Sprint(e["schemas"]) != "[urn:ietf:params:scim:api:messages:2.0:Error]" {
			t.Errorf("a second one: %v", e)
		}
		if l := d.send(200, http.MethodGet, "/Users"+byName, ""); l["totalResults"] != 1.0 || l["itemsPerPage"] != 1.0 {
			t.Errorf("got %v", l)
		}
		// Who logs in is who was provisioned.
		me := object(t, call(t, d.Server, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		if me["user_id"] != id || me["name"] != "Vic Tim" || me["email"] != "vic@example.com" {
			t.Errorf("who logs in is %v", me)
		}
		_, credential := newKey(t, d.Server, "victim", "/api/v1/me/api-keys", `{"name":"k"}`)
		in := func(status int) {
			t.Helper()
			for _, bearer := range []string{"token-of-victim", credential} {
				call(t, d.Server, status, http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+bearer)
			}
		}
		in(200)
		put := d.send(200, http.MethodPut, "/Users/"+id, "{"+strings.Replace(vic, "Vic Tim", "Victoria", 1)+`,"id":"`+id+`","meta":{"resourceType":"User"}}`)
		if put["displayName"] != "Victoria" || d.member(id)["name"] != "Victoria" {
			t.Errorf("put is %v", put)
		}
		const off, on = `{"op":"replace","value":{"active":false}}`, `{"op":"replace","value":{"active":true}}`
		if u := d.patch(200, "/Users/"+id, off); u["active"] != false {
			t.Errorf("shut out is %v", u)
		}
		in(403)
		if l := d.find("Users", `active eq false and userName eq "VIC@example.com"`); l["totalResults"] != 1.0 {
			t.Errorf("got %v", l)
		}
		d.patch(200, "/Users/"+id, on)
		in(200)

		g := d.send(201, http.MethodPost, "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Pushed","members":[{"value":"`+id+`","display":"vic@example.com"}]}`)
		group := "/Groups/" + fmt.Sprint(g["id"])
		if len(g["members"].([]any)) != 1 {
			t.Errorf("got %v", g)
		}
		other := d.provision("org_auditor")
		d.patch(204, group, `{"op":"remove","path":"members[value eq \"`+id+`\"]"},{"op":"add","path":"members","value":[{"value":"`+other+`","display":"x"}]}`)
		d.patch(204, group, `{"op":"replace","value":{"id":"`+fmt.Sprint(g["id"])+`","displayName":"Admins"}}`)
		if g := d.send(200, http.MethodGet, group, ""); g["displayName"] != "Admins" || fmt.Sprint(g["members"].([]any)[0].(map[string]any)["value"]) != other || len(g["members"].([]any)) != 1 {
			t.Errorf("got %v", g)
		}
		if m := d.member(other); m["role"] != "org_admin" {
			t.Errorf("in a group of administrators somebody is %v", m)
		}
		d.patch(204, group, `{"op":"replace","path":"members","value":[{"value":"`+id+`"}]}`)
		if m := object(t, call(t, d.Server, 200, http.MethodGet, "/api/v1/me", "", as("victim")...)); m["role"] != "org_admin" {
			t.Errorf("who came into the group is %v", m)
		}
		d.send(204, http.MethodDelete, group, "")
		d.send(404, http.MethodGet, group, "")
		if m := object(t, call(t, d.Server, 200, http.MethodGet, "/api/v1/me", "", as("victim")...)); m["role"] != "org_member" {
			t.Errorf("whose group is gone is %v", m)
		}
	})
}

// What Entra ID sends: operations in capitals, booleans as text, paths that choose
// an address, and attributes that are not kept.
func TestEntraProvisions(t *testing.T) {
	directed(t, func(t *testing.T, d *directory) {
		d.t = t
		if l := d.find("Users", `userName eq "5d1c5c62-9e39-4a5f-8a3f-3a8f7b6d1a01"`); l["totalResults"] != 0.0 {
			t.Errorf("got %v", l)
		}
		made := d.send(201, http.MethodPost, "/Users?aadOptscim062020", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],`+
			`"externalId":"victim","userName":"Vic@example.com","active":true,"displayName":"Vic","emails":[{"primary":true,"type":"work","value":"vic@example.com"}],"meta":{"resourceType":"User"},`+
			`"name":{"formatted":"Vic Tim","familyName":"Tim","givenName":"Vic"},"roles":[],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Sales"}}`)
		id := fmt.Sprint(made["id"])
		user := "/Users/" + id
		for _, f := range []string{`externalId eq "victim"`, `userName eq "vic@EXAMPLE.com"`, `emails[type eq "work"].value eq "vic@example.com"`, `emails.value eq "Vic@example.com"`, `id eq "` + id + `"`, `externalId eq "victim" and active eq true`} {
			if l := d.find("Users", f); l["totalResults"] != 1.0 {
				t.Errorf("%s: %v", f, l)
			}
		}
		u := d.patch(200, user, `{"op":"Replace","path":"emails[type eq \"work\"].value","value":"tim@example.com"},{"op":"Replace","path":"name.familyName","value":"Timmins"},`+
			`{"op":"Add","path":"title","value":"Engineer"},{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Ops"}`)
		if n := u["name"].(map[string]any); n["familyName"] != "Timmins" || n["givenName"] != "Vic" || u["emails"].([]any)[0].(map[string]any)["value"] != "tim@example.com" {
			t.Errorf("got %v", u)
		}
		u = d.patch(200, user, `{"op":"Replace","value":{"displayName":"Tim","name.givenName":"Victor","active":"True","urn:ietf:params:scim:schemas:core:2.0:User:userName":"tim@example.com"}}`)
		if u["displayName"] != "Tim" || u["name"].(map[string]any)["givenName"] != "Victor" || u["userName"] != "tim@example.com" {
			t.Errorf("got %v", u)
		}
		u = d.patch(200, user, `{"op":"Remove","path":"displayName"},{"op":"Remove","path":"emails[type eq \"work\"].value"}`)
		if u["displayName"] != nil || u["emails"] != nil {
			t.Errorf("got %v", u)
		}
		if u := d.patch(200, user, `{"op":"Replace","path":"active","value":"False"}`); u["active"] != false {
			t.Errorf("got %v", u)
		}
		if a := call(t, d.Server, 403, http.MethodGet, "/v1/models", "", as("victim")...); !strings.Contains(a.Body, "account_suspended") {
			t.Errorf("got %s", a.Body)
		}
		d.patch(200, user, `{"op":"Replace","path":"active","value":"True"}`)

		const named = `displayName eq "Finance & Audit"`
		if l := d.find("Groups", named, "&excludedAttributes=members"); l["totalResults"] != 0.0 {
			t.Errorf("got %v", l)
		}
		g := d.send(201, http.MethodPost, "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],"externalId":"8aa1a0c0","displayName":"Finance & Audit","meta":{"resourceType":"Group"}}`)
		group := "/Groups/" + fmt.Sprint(g["id"])
		if e := d.send(409, http.MethodPost, "/Groups", `{"displayName":"finance & AUDIT"}`); e["scimType"] != "uniqueness" {
			t.Errorf("got %v", e)
		}
		d.patch(204, group, `{"op":"Add","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}`)
		if m := d.member(id); m["role"] != "org_auditor" || m["role_assigned"] != true {
			t.Errorf("in the group of auditors somebody is %v", m)
		}
		l := d.find("Groups", named, "&excludedAttributes=members")
		if l["totalResults"] != 1.0 || l["Resources"].([]any)[0].(map[string]any)["members"] != nil {
			t.Errorf("got %v", l)
		}
		for _, f := range []string{`externalId eq "8aa1a0c0"`, `id eq "` + fmt.Sprint(g["id"]) + `" and members eq "` + id + `"`} {
			if l := d.find("Groups", f); l["totalResults"] != 1.0 {
				t.Errorf("%s: %v", f, l)
			}
		}
		d.patch(204, group, `{"op":"Remove","path":"members","value":[{"$ref":null,"value":"`+id+`"}]}`)
		if m := d.member(id); m["role"] != "org_member" || m["role_assigned"] != false {
			t.Errorf("who left the group is %v", m)
		}
		d.send(204, http.MethodDelete, user, "")
		d.send(404, http.MethodGet, user, "")
		call(t, d.Server, 404, http.MethodGet, "/api/v1/orgs/"+d.org+"/members/"+id, "", as("org_admin")...)
		if l := d.send(200, http.MethodGet, "/Users", ""); l["totalResults"] != 0.0 {
			t.Errorf("got %v", l)
		}
	})
}
