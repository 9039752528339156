# Workers without public addresses reach Google's services through Private Google Access, and one another by two ports.

locals {
  made_subnetwork = "regions/${var.region}/subnetworks/${var.name}"
  subnetwork      = var.create_network ? local.made_subnetwork : var.subnetwork
}

resource "google_compute_network" "this" {
  count                           = var.create_network ? 1 : 0
  project                         = var.project
  name                            = var.name
  description                     = "Winnow's workers."
  auto_create_subnetworks         = false
  delete_default_routes_on_create = false # Private Google Access goes by the default route

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "this" {
  # checkov:skip=CKV_GCP_76: no IPv6 in this network
  count                    = var.create_network ? 1 : 0
  project                  = var.project
  region                   = var.region
  name                     = var.name
  network                  = google_compute_network.this[0].id
  ip_cidr_range            = var.subnet_cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Workers of a job talk to one another for shuffles and streaming; Dataflow gives them all the tag `dataflow`.
resource "google_compute_firewall" "workers" {
  count       = var.create_network ? 1 : 0
  project     = var.project
  name        = "${var.name}-workers"
  description = "Dataflow's workers among themselves."
  network     = google_compute_network.this[0].id
  direction   = "INGRESS"
  source_tags = ["dataflow"]
  target_tags = ["dataflow"]

  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }
}
