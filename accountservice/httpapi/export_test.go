package httpapi

// Templates returns the templates of all routes.
func (a *API) Templates() []string {
	var templates []string
	for _, route := range a.routes() {
		templates = append(templates, route.template)
	}
	return templates
}
