variable "name" {
  description = "Name of the profile, and the first part of its name in trafficmanager.net."
  type        = string
}

variable "resource_group" {
  description = "A resource group outside the regions that the route leads to."
  type        = string
}

variable "route" {
  description = "Host name that clients ask for."
  type        = string
}

variable "method" {
  description = "Priority: one region after the other. Performance: the nearest. Geographic: by where clients are, see areas."
  type        = string
}

variable "ttl" {
  description = "Seconds for which an answer may be kept."
  type        = number
}

variable "node_port" {
  description = "TCP port of the Lifeboat nodes."
  type        = number
}

variable "endpoints" {
  description = "Where each region is reached, by region."
  type = map(object({
    target   = string
    location = string
    priority = number
  }))
}

variable "areas" {
  description = "Clients with regions of their own: where they are, in Traffic Manager's codes, and which regions, the first one first."
  type = map(object({
    name    = string
    method  = string
    clients = list(string)
    regions = list(string)
  }))
  default = {}
}
